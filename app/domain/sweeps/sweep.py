"""A sweep as it was asked for, checked and complete."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.domain.sweeps.asha import EarlyStopping
from app.domain.sweeps.space import Space


class Strategy(StrEnum):
    """How the next trial is found: all in order, by chance, or by what was learned from those before."""

    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"


class Direction(StrEnum):
    """Which values of the objective are better."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


MOST_TRIALS = 10_000
STARTUP = 10
"""Trials of a search that learns that are drawn at random, before there is anything to learn from."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is searched and how. `max_parallel`: trials that may have been asked and not have ended; `goal`: a value of
    the objective with which the search is over; `lag`: a trial that learns does so from those whose numbers are so much
    lower, or more, and is not asked before these have ended; None: from all that have ended when it is asked."""

    space: Space
    strategy: Strategy
    objective: str
    direction: Direction
    max_trials: int
    max_parallel: int
    seed: int = 0
    goal: float | None = None
    early_stopping: EarlyStopping | None = None
    lag: int | None = None

    @property
    def maximize(self) -> bool:
        return self.direction is Direction.MAXIMIZE

    @property
    def reproducible(self) -> bool:
        """Whether the seed and the values of trials decide what is tried, whichever of them end first."""
        return self.strategy is not Strategy.TPE or self.lag is not None

    def learns(self, number: int) -> bool:
        """Whether this trial is to be suggested by what is known of those before."""
        return self.strategy is Strategy.TPE and number >= STARTUP

    def better(self, one: float, other: float) -> bool:
        """Whether one value of the objective is better than another."""
        return one > other if self.maximize else one < other

    def reaches_goal(self, value: float) -> bool:
        return self.goal is not None and not self.better(self.goal, value)
