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


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is searched and how. `max_parallel`: trials that may have been asked and not have ended; `goal`: a value of
    the objective with which the search is over."""

    space: Space
    strategy: Strategy
    objective: str
    direction: Direction
    max_trials: int
    max_parallel: int
    seed: int = 0
    goal: float | None = None
    early_stopping: EarlyStopping | None = None

    @property
    def maximize(self) -> bool:
        return self.direction is Direction.MAXIMIZE

    def better(self, one: float, other: float) -> bool:
        """Whether one value of the objective is better than another."""
        return one > other if self.maximize else one < other

    def reaches_goal(self, value: float) -> bool:
        return self.goal is not None and not self.better(self.goal, value)
