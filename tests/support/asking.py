"""What a trial was asked to try, found again from the record of all, as `docs/sweeps.md` promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.ports import Sampler
from app.domain.sweeps.book import Book
from app.domain.sweeps.space import Values
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Trial
from app.operations.sweeps.asking import next_values


async def asked_again(sampler: Sampler, sweep: Sweep, trials: Sequence[Trial], number: int) -> Values | None:
    """The trials before it as they were told: without the ends that were not known then."""
    book, asked = Book(sweep), next(trial for trial in trials if trial.number == number)
    book.note(replace(t, end=None) if t.number in asked.untold else t for t in trials if t.number < number)
    return await next_values(sampler, book)
