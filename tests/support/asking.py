"""What a trial was asked to try, found again from the record of all, as `docs/sweeps.md` promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from app.domain.ports import Sampler
from app.domain.sweeps.book import Book
from app.domain.sweeps.space import Values
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Outcome, Trial, TrialEnd
from app.operations.sweeps.asking import next_values


async def asked_again(sampler: Sampler, sweep: Sweep, trials: Sequence[Trial], number: int) -> Values | None:
    """The trials before it as they were told: without the ends that were not known then."""
    book, asked = Book(sweep), next(trial for trial in trials if trial.number == number)
    book.note(replace(t, end=None) if t.number in asked.untold else t for t in trials if t.number < number)
    return await next_values(sampler, book)


async def asked_alone(sampler: Sampler, sweep: Sweep, value_of: Callable[[Values], float]) -> list[Values]:
    """All trials of a sweep whose trials end one after the other, each with this value."""
    book, at = Book(sweep), datetime(2026, 1, 2, tzinfo=UTC)
    while book.next_number < sweep.max_trials:
        values = await next_values(sampler, book)
        assert values is not None
        end = TrialEnd(Outcome.COMPLETED, at, value_of(values))
        book.note([Trial("batch_1", book.next_number, f"job_{book.next_number}", values, at, end=end)])
    return [trial.values for trial in book.trials]
