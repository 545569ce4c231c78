"""The book of a sweep: all its trials by number, what has been tried, and what the next one is to try.

A strategy that does not learn is done here. One that does is asked by whoever keeps the book, and corrected here when
it suggests what was tried before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from app.domain.sweeps.drawing import draw, grid, seed_of
from app.domain.sweeps.space import Values, key
from app.domain.sweeps.sweep import Strategy, Sweep
from app.domain.sweeps.trials import Trial

SUGGESTIONS = 3
"""How often it is asked for something new, before that is drawn at random."""
LEARNED_AT_ONCE = 16
"""Trials of a search that learns that are asked in one look: while they are, no other sweep is looked at."""


class Book:
    """Of one sweep. Trials are told by number; those that follow each other without a gap."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.taken: set[str] = set()
        self.next_number = 0
        self._trials: dict[int, Trial] = {}
        self._open: dict[int, Trial] = {}
        self._grid: list[Values] = []

    @property
    def trials(self) -> list[Trial]:
        """All of them, by number."""
        return list(self._trials.values())

    @property
    def ended_below(self) -> int:
        """The number below which all trials have ended: of those it is known here what is recorded."""
        return min(self._open, default=self.next_number)

    def note(self, trials: Iterable[Trial]) -> None:
        """These are there, or are different now. New ones come in the order of their numbers."""
        for trial in trials:
            if trial.number not in self._trials:
                self.taken.add(trial.key)
                self.next_number = trial.number + 1
            self._trials[trial.number] = trial
            if trial.end is None:
                self._open[trial.number] = trial
            else:
                self._open.pop(trial.number, None)

    def open(self) -> list[Trial]:
        """Those that have not ended, by number."""
        return [self._open[number] for number in sorted(self._open)]

    @property
    def learns(self) -> bool:
        """Whether the next trial is to be suggested by what is known of those before."""
        return self.sweep.learns(self.next_number)

    @property
    def heard(self) -> list[Trial]:
        """All trials as the next one knows them: as if those that are too near to it had not ended."""
        trials, lag = self.trials, self.sweep.lag
        near = len(trials) if lag is None else max(0, self.next_number - lag + 1)
        return trials[:near] + [replace(trial, rungs={}, stopped_at=None, end=None) for trial in trials[near:]]

    @property
    def untold(self) -> tuple[int, ...]:
        """The trials whose ends the next one does not know."""
        known = self.open() if self.sweep.lag is None else self.heard
        return tuple(trial.number for trial in known if trial.end is None)

    def at_once(self, count: int) -> int:
        """How many of so many are to be asked in one look."""
        return min(count, LEARNED_AT_ONCE) if self.sweep.strategy is Strategy.TPE else count

    def drawn(self) -> Values | None:
        """What the next trial tries without learning; None where there is nothing that was not tried."""
        if self.sweep.strategy is Strategy.GRID:
            self._grid = self._grid or grid(self.sweep.space, self.sweep.max_trials)
            return self._grid[self.next_number] if self.next_number < len(self._grid) else None
        return draw(self.sweep.space, self.sweep.seed, self.next_number, self.taken)

    def is_new(self, values: Values) -> bool:
        return key(values) not in self.taken


def suggestion_seed(sweep: Sweep, number: int, again: int) -> int:
    """The seed of the model when it is asked for a trial, for the first time or again."""
    return seed_of(sweep.seed, number, again)
