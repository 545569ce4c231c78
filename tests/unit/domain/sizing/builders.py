"""Past runs of a kind, and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.domain.resources import Vector
from app.domain.sizing.features import Features, TableFacts, features_of
from app.domain.sizing.history import Experience, Level, experience_of
from app.domain.sizing.kinship import GROUPS
from app.domain.sizing.plan import Case, Sized, size
from app.domain.sizing.residuals import PastRun, Residual, residual_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SVM = features_of({"algorithm": "svm"}, TableFacts(10_000, 20))
NAMES = tuple(", ".join(names) for names in GROUPS)
TEMPLATE = Vector(2_000, 4_096, 0, 10)
NODE = Vector(64_000, 262_144, 8, 1_000)


def a_run(
    peak: float | None = 1_000.0,
    *,
    ago: timedelta = HOUR,
    outcome: str = "completed",
    asked: Vector = TEMPLATE,
    seconds: float = 60.0,
    cores: float | None = 1.0,
    features: Features | None = SVM,
) -> PastRun:
    """A run of an hour ago, that used so many MiB and cores."""
    return PastRun(outcome, NOW - ago, seconds, asked, peak, None if cores is None else cores * seconds, features)


def an_oom(limit: int, *, peak: float | None = None, ago: timedelta = HOUR, features: Features | None = SVM) -> PastRun:
    """A run that was killed at this limit (MiB)."""
    return a_run(peak, ago=ago, outcome="out_of_memory", asked=Vector(2_000, limit, 0, 10), features=features)


def runs(*peaks: float, features: Features | None = SVM) -> list[PastRun]:
    """The first is the newest."""
    return [a_run(peak, ago=(n + 1) * HOUR, features=features) for n, peak in enumerate(peaks)]


def residuals(past: Sequence[PastRun]) -> tuple[Residual, ...]:
    newest_first = sorted(past, key=lambda run: run.at, reverse=True)
    return tuple(found for run in newest_first if (found := residual_of(run)) is not None)


def history(*groups: Sequence[PastRun], modelled: bool = True, sized: bool = True) -> Experience:
    """What is known from these runs, those of the finest group first; each group holds those before it."""
    within: list[PastRun] = []
    levels = []
    for name, own in zip(NAMES, [*groups, *[()] * (len(NAMES) - len(groups))], strict=True):
        within = [*within, *own]
        levels.append(Level(name, residuals(within)))
    return experience_of(levels, NOW, modelled=modelled, sized=sized)


def sized(
    known: Experience,
    *,
    features: Features | None = SVM,
    asked: bool = False,
    stated: bool = False,
    requirement: Vector = TEMPLATE,
    timeout: float = 3_600.0,
    capacities: tuple[Vector, ...] = (NODE,),
) -> Sized:
    """The plan of a job."""
    return size(Case(requirement, asked, stated, features, timeout, capacities), known)
