"""Why a job gets what it gets: what is stored with it and shown in a dry run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.domain.resources import Vector
from app.domain.sizing.features import Features
from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import Prior

REQUEST, TEMPLATE, HISTORY, PRIOR = "request", "template", "history", "prior"
SOURCES = (REQUEST, TEMPLATE, HISTORY, PRIOR)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another amount that could be asked for, and how probable it is at most that a run would be killed with it."""

    resources: Vector
    oom_risk: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """`source`: where the resources came from (`SOURCES`). All that follows speaks of what sizing would have chosen,
    which is `suggestion` where something else was asked for: the `group` of `runs` alike, `quantile` of their residuals
    and `margin` over it, the `prior` and the `features` it was made of. `outcome`: what became of the group."""

    source: str
    resources: Vector
    suggestion: Vector | None = None
    group: str | None = None
    runs: int = 0
    last_run_at: datetime | None = None
    prior: Prior | None = None
    features: Features | None = None
    quantile: float | None = None
    margin: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    outcome: Outcome | None = None

    @property
    def assumed(self) -> tuple[str, ...]:
        """Names of features that nobody knows."""
        return self.features.assumed if self.features is not None else ()
