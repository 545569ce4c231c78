"""What a finished run had and what it used, and what to ask for instead where that is worth saying.

One run says little, so the advice leaves room over it, and is given only where it frees a quarter and something that
another job could use. A run that was killed for its memory is told to ask for as much more as a retry would get.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.domain.job import Attempt
from app.domain.resources import Vector
from app.domain.retry import RetryPolicy, grown_memory
from app.domain.sizing.grid import cores_up, memory_up
from app.domain.sizing.plan import LEAST_MIB
from app.domain.sizing.rules import FEW_MARGIN

WORTH_SHARE = 0.25
WORTH_MIB, WORTH_MILLICORES = 256, 500
LEAST_SECONDS = 10.0
"""Cores of shorter runs say nothing: starting and ending are most of them."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to ask for, and why in a sentence."""

    resources: Vector
    summary: str


def cores_used(attempt: Attempt) -> float | None:
    """On the average; None where that was not measured."""
    if attempt.started_at is None or attempt.cpu_seconds is None:
        return None
    seconds = (attempt.finished_at - attempt.started_at).total_seconds()
    return attempt.cpu_seconds / seconds if seconds > 0 else None


def advice(attempt: Attempt) -> Advice | None:
    """What the next run like it should ask for; None where what was asked for is right, or nothing is known."""
    asked, peak = attempt.asked, attempt.peak_memory_mib
    if asked is None:
        return None
    if attempt.outcome == "out_of_memory":
        return _more(asked, peak)
    if attempt.outcome != "completed" or not peak:
        return None
    better = replace(asked, memory_mib=_memory(asked, peak), cpu_millicores=_millicores(asked, attempt))
    return None if better == asked else Advice(better, _summary(asked, peak, cores_used(attempt)))


def _more(asked: Vector, peak: float | None) -> Advice:
    grown = memory_up(grown_memory(RetryPolicy(), asked.memory_mib, peak, None, 0))
    return Advice(replace(asked, memory_mib=grown), f"needed more than the {_gb(asked.memory_mib)} GB that it had")


def _memory(asked: Vector, peak: float) -> int:
    enough = memory_up(max(FEW_MARGIN * peak, LEAST_MIB))
    worth = max(WORTH_MIB, WORTH_SHARE * asked.memory_mib)
    return enough if asked.memory_mib - enough >= worth else asked.memory_mib


def _millicores(asked: Vector, attempt: Attempt) -> int:
    used = cores_used(attempt)
    if used is None or attempt.started_at is None:
        return asked.cpu_millicores
    if (attempt.finished_at - attempt.started_at).total_seconds() < LEAST_SECONDS:
        return asked.cpu_millicores
    enough = cores_up(used)
    worth = max(WORTH_MILLICORES, WORTH_SHARE * asked.cpu_millicores)
    return enough if asked.cpu_millicores - enough >= worth else asked.cpu_millicores


def _summary(asked: Vector, peak: float, used: float | None) -> str:
    memory = f"used {_gb(peak)} of {_gb(asked.memory_mib)} GB"
    return memory if used is None else f"{memory} and {used:.2g} of {asked.cpu_millicores / 1_000:g} cores"


def _gb(mib: float) -> str:
    return f"{mib / 1_024:.2g}" if mib < 10_240 else f"{mib / 1_024:.0f}"
