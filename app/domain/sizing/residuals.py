"""What a past run says about runs like it: how far it was from its own prior, in logarithms.

A run that was killed for its memory would have needed more than it got, one that met its time limit would have taken
longer: both count as so much more. One that was cancelled, lost, preempted or that failed says nothing. Nor does a run
say how many cores it could use that used all it had, while its prior would give it more. A training computes all the
time: one that got less than a core shared it with too many others, and counts as one that used a core. Else few cores
on a crowded node would teach to give still fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from app.domain.resources import Vector
from app.domain.sizing.features import Features
from app.domain.sizing.measures import Measured
from app.domain.sizing.priors import NO_PRIOR, Prior, prior_of

TELLING = ("completed", "timeout", "out_of_memory")
"""Outcomes that say something."""
CUT_SHORT = 1.5
"""A run that met its time limit would have taken at least so many times as long."""
ALL_USED = 0.9
"""A run that used this share of its cores could have used more."""
SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that ended: how and when, what it was allotted, what it used (MiB, seconds). `features`: None where no
    prior could say what it should need; `dataset`: told only among runs of one tenant."""

    outcome: str
    at: datetime
    seconds: float
    asked: Vector
    peak_mib: float | None = None
    cpu_seconds: float | None = None
    features: Features | None = None
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class Residual:
    """ln(observed / prior) of a run; None where it says nothing. `killed`: for its memory, of which `memory` is then
    the least that it needed; `measured`: its memory as it was."""

    at: datetime
    features: Features | None
    memory: float | None
    cores: float | None
    seconds: float | None
    killed: bool
    measured: Measured | None
    dataset: str | None = None


def residual_of(run: PastRun) -> Residual | None:
    """What the run says; None when nothing."""
    if run.outcome not in TELLING:
        return None
    prior = NO_PRIOR if run.features is None else prior_of(run.features)
    if prior is None:
        return None
    measured = _measured(run)
    done = run.outcome == "completed"
    return Residual(
        at=run.at,
        features=run.features,
        memory=math.log(max(1.0, measured.need) / prior.memory_mib) if measured else None,
        cores=_cores(run, prior) if done else None,
        seconds=_seconds(run, prior),
        killed=run.outcome == "out_of_memory",
        measured=measured,
        dataset=run.dataset,
    )


def _measured(run: PastRun) -> Measured | None:
    """Its memory, where that was measured. A run that met its time limit may have been on its way to more."""
    allotted = float(run.asked.memory_mib)
    if run.outcome == "out_of_memory":
        return Measured(allotted, max(allotted, run.peak_mib or 0.0), killed=True)
    if run.outcome == "completed" and run.peak_mib:
        return Measured(allotted, run.peak_mib)
    return None


def _seconds(run: PastRun, prior: Prior) -> float | None:
    if run.outcome == "out_of_memory":
        return None
    taken = run.seconds * (CUT_SHORT if run.outcome == "timeout" else 1.0)
    return math.log(max(SHORTEST, taken) / prior.seconds_on(run.asked.cpu_millicores / 1_000))


def _cores(run: PastRun, prior: Prior) -> float | None:
    if not run.cpu_seconds or run.seconds < SHORTEST:
        return None
    used, had = run.cpu_seconds / run.seconds, run.asked.cpu_millicores / 1_000
    if had < prior.cores and used >= ALL_USED * had:
        return None
    least = min(1.0, had) if run.features is not None else 0.0
    return math.log(max(used, least) / prior.cores)
