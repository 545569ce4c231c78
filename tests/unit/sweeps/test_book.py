"""What the next trial tries: always something new, and the same from the same record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from app.domain.sweeps.book import Book
from app.domain.sweeps.drawing import chance
from app.domain.sweeps.space import Space, Values, key
from app.domain.sweeps.sweep import STARTUP, Sweep
from app.domain.sweeps.trials import Outcome, Trial, TrialEnd, next_move
from app.operations.sweeps.asking import next_values
from app.sampling import OptunaSampler
from tests.support.asking import asked_again
from tests.unit.sweeps.builders import SMALL, SVM, a_sweep, a_trial, at, choice, ended, number, whole

FINITE = Space.of([whole("a", 1, 4), choice("b", "x", "y", "z"), number("c", 0, 1, step=0.5)])


class Stubborn:
    """A sampler that has one idea."""

    def __init__(self, values: Values) -> None:
        self.values, self.asked = values, 0

    async def suggest(self, space: Space, past: Sequence[Trial], *, maximize: bool, seed: int) -> Values:
        self.asked += 1
        return self.values

    async def importance(self, space: Space, ended: Sequence[Trial]) -> None:
        return None


async def played(sweep: Sweep, luck: int, *, sampler: OptunaSampler | None = None) -> list[Trial]:
    """A whole search, in which trials end in an order that `luck` decides: some fail, some have no value."""
    book, random = Book(sweep), Random(luck)
    sampler = sampler or OptunaSampler()
    moment = 0
    while (open_trials := book.open()) or book.next_number < sweep.max_trials:
        if next_move(sweep, book.trials).ask:
            values = await next_values(sampler, book)
            assert values is not None
            book.note([a_trial(book.next_number, values, untold=book.untold)])
            continue
        moment += 1
        over = random.choice(open_trials)
        value = chance(key(over.values)) if chance("value", key(over.values)) < 0.8 else None
        outcome = Outcome.FAILED if chance("fails", key(over.values)) < 0.1 else Outcome.COMPLETED
        book.note([replace(over, seq=2, end=TrialEnd(outcome, at(moment), value, fingerprint=str(moment)))])
    return book.trials


@pytest.mark.parametrize("strategy", ["grid", "random", "tpe"])
async def test_a_search_makes_exactly_as_many_different_trials_as_asked(strategy: str) -> None:
    """Thirty of the thirty-six that there are, so that each strategy meets what it has tried before."""
    sweep = a_sweep(FINITE, strategy=strategy, max_trials=30, max_parallel=4)
    trials = await played(sweep, luck=1)
    assert [t.number for t in trials] == list(range(30))
    assert len({t.key for t in trials}) == 30


@pytest.mark.parametrize("strategy", ["grid", "random"])
async def test_without_learning_the_trials_do_not_depend_on_what_ends_when(strategy: str) -> None:
    sweep = a_sweep(FINITE, strategy=strategy, max_trials=36)
    one, other = [await played(sweep, luck) for luck in (1, 2)]
    assert [t.values for t in one] == [t.values for t in other]


async def test_one_at_a_time_a_learning_search_depends_on_seed_and_results_alone() -> None:
    sweep = a_sweep(SVM, strategy="tpe", max_trials=18, max_parallel=1)
    one, other = [await played(sweep, luck) for luck in (1, 2)]
    assert [t.values for t in one] == [t.values for t in other]
    assert [t.values for t in await played(replace(sweep, seed=1), 1)] != [t.values for t in one]


@pytest.mark.parametrize("lag", [4, 7])
async def test_a_learning_search_with_a_lag_does_not_depend_on_what_ends_when(lag: int) -> None:
    sweep = a_sweep(SVM, strategy="tpe", max_trials=24, max_parallel=4, lag=lag)
    one, *others = [[t.values for t in await played(sweep, luck)] for luck in range(4)]
    assert others == [one] * 3
    assert [t.values for t in await played(replace(sweep, seed=1), 1)] != one
    free = replace(sweep, lag=None)
    assert len({str([t.values for t in await played(free, luck)]) for luck in range(4)}) > 1, "without it, it does"


@pytest.mark.parametrize("lag", [None, 5])
async def test_every_trial_of_a_learning_search_is_found_again_from_the_record(lag: int | None) -> None:
    sweep = a_sweep(SVM, strategy="tpe", max_trials=20, max_parallel=5, lag=lag)
    trials = await played(sweep, luck=3)
    assert any(t.untold for t in trials[STARTUP:])
    for trial in trials:
        assert await asked_again(OptunaSampler(), sweep, trials, trial.number) == trial.values


async def test_the_first_trials_of_a_learning_search_are_those_of_a_random_one() -> None:
    random = await played(a_sweep(SVM, max_trials=STARTUP), luck=1)
    learning = await played(a_sweep(SVM, strategy="tpe", max_trials=STARTUP), luck=2)
    assert [t.values for t in learning] == [t.values for t in random]


async def test_a_model_that_has_no_other_idea_is_asked_a_few_times_and_then_left_aside() -> None:
    book = Book(a_sweep(FINITE, strategy="tpe", max_trials=36))
    while book.next_number < STARTUP:
        book.note([ended(book.next_number, 0.5, values=book.drawn())])
    stubborn = Stubborn(book.trials[0].values)
    values = await next_values(stubborn, book)
    assert (stubborn.asked, values is not None and book.is_new(values)) == (3, True)


async def test_a_model_that_fails_holds_up_no_search() -> None:
    class Broken(Stubborn):
        async def suggest(self, space: Space, past: Sequence[Trial], *, maximize: bool, seed: int) -> Values:
            raise ZeroDivisionError

    book = Book(a_sweep(FINITE, strategy="tpe", max_trials=36))
    while book.next_number < STARTUP:
        book.note([ended(book.next_number, 0.5, values=book.drawn())])
    values = await next_values(Broken({}), book)
    assert values is not None and book.is_new(values)


async def test_when_nothing_is_left_nothing_is_asked() -> None:
    for strategy in ("grid", "random", "tpe"):
        book = Book(a_sweep(SMALL, strategy=strategy, max_trials=5))
        for _ in range(5):
            book.note([ended(book.next_number, 0.5, values=book.drawn())])
        assert await next_values(OptunaSampler(), book) is None


def test_what_is_read_again_begins_with_the_first_trial_that_has_not_ended() -> None:
    book = Book(a_sweep())
    assert (book.ended_below, book.next_number) == (0, 0)
    book.note([ended(0, 1), ended(1, outcome="failed"), a_trial(2), ended(3, 1), a_trial(4)])
    assert (book.ended_below, book.next_number) == (2, 5)
    assert [t.number for t in book.open()] == [2, 4]
    book.note([ended(2, 1), ended(4, 1)])
    assert (book.ended_below, book.open()) == (5, [])
    book.note([a_trial(1)])
    assert ([t.number for t in book.open()], [t.number for t in book.trials]) == ([1], [0, 1, 2, 3, 4])
