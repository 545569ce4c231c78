"""The book of a sweep: all its trials by number, what has been tried, and what the next one is to try.

A strategy that does not learn is done here. One that does is asked by whoever keeps the book, and corrected here when
it suggests what was tried before.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.sweeps.drawing import draw, grid, seed_of
from app.domain.sweeps.space import Values, key
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import SUCCESSES, Trial

STARTUP = 10
"""Trials of a search that learns that are drawn at random, before there is anything to learn from."""
SUGGESTIONS = 3
"""How often it is asked for something new, before that is drawn at random."""


class Book:
    """Of one sweep. Trials are told by number; those that follow each other without a gap."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.trials: list[Trial] = []
        self.taken: set[str] = set()
        self._grid: list[Values] = []

    @property
    def next_number(self) -> int:
        return self.trials[-1].number + 1 if self.trials else 0

    @property
    def settled(self) -> int:
        """The number below which nothing changes any more: those trials have ended well."""
        for trial in self.trials:
            if trial.end is None or trial.end.outcome not in SUCCESSES:
                return trial.number
        return self.next_number

    def note(self, trials: Iterable[Trial]) -> None:
        """These are there, or are different now."""
        places = {trial.number: n for n, trial in enumerate(self.trials)}
        for trial in trials:
            if trial.number in places:
                self.trials[places[trial.number]] = trial
            else:
                self.trials.append(trial)
                self.taken.add(trial.key)
        self.trials.sort(key=lambda trial: trial.number)

    def open(self) -> list[Trial]:
        """Those that have not ended."""
        return [trial for trial in self.trials if trial.end is None]

    @property
    def learns(self) -> bool:
        """Whether the next trial is to be suggested by what is known of those before."""
        return self.sweep.strategy == "tpe" and self.next_number >= STARTUP

    def drawn(self) -> Values | None:
        """What the next trial tries without learning; None where there is nothing that was not tried."""
        if self.sweep.strategy == "grid":
            self._grid = self._grid or grid(self.sweep.space, self.sweep.max_trials)
            return self._grid[self.next_number] if self.next_number < len(self._grid) else None
        return draw(self.sweep.space, self.sweep.seed, self.next_number, self.taken)

    def is_new(self, values: Values) -> bool:
        return key(values) not in self.taken


def suggestion_seed(sweep: Sweep, number: int, again: int) -> int:
    """The seed of the model when it is asked for a trial, for the first time or again."""
    return seed_of(sweep.seed, number, again)
