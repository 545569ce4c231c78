"""What the next trial of a sweep tries.

A question depends on nothing but the sweep, the number, and the trials before it as they were told: so the answer that
is recorded can be found again from the record (`Trial.untold`).
"""

from __future__ import annotations

import structlog

from app.domain.ports import Sampler
from app.domain.sweeps.book import SUGGESTIONS, Book, suggestion_seed
from app.domain.sweeps.space import Values

log = structlog.get_logger()


async def next_values(sampler: Sampler, book: Book) -> Values | None:
    """What the next trial tries: none that was tried before. None where nothing else is left."""
    if book.learns:
        for again in range(SUGGESTIONS):
            values = await _suggested(sampler, book, again)
            if values is not None and book.is_new(values):
                return values
    return book.drawn()


async def _suggested(sampler: Sampler, book: Book, again: int) -> Values | None:
    """None where the model fails: a library's fault must not hold up a search."""
    sweep = book.sweep
    seed = suggestion_seed(sweep, book.next_number, again)
    try:
        return await sampler.suggest(sweep.space, book.heard, maximize=sweep.maximize, seed=seed)
    except Exception:
        log.exception("sweep.model_failed", trials=book.next_number, objective=sweep.objective)
        return None
