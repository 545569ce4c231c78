"""Steps that try the system rather than data: `noop` does nothing, `sleep` waits and can be stopped at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping

from app.domain.json import Json
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure

MAX_SLEEP = 86_400.0


def noop(_context: StepContext) -> Mapping[str, Json]:
    """Do nothing, successfully."""
    return {}


def sleep(context: StepContext) -> Mapping[str, Json]:
    """Wait for `seconds`, reporting progress; raises Stopped as soon as the run is asked to end."""
    seconds = sleep_seconds(context.parameters)
    started = time.monotonic()
    for until, progress in sleep_marks(seconds):
        context.stop.wait(started + until - time.monotonic())
        context.stop_if_asked()
        context.report(progress=progress)
    return {"slept_seconds": seconds}


def sleep_seconds(parameters: Mapping[str, Json]) -> float:
    """The parameter `seconds`. Raises PermanentFailure when it is no number from 0 to a day."""
    given = parameters.get("seconds", 1)
    seconds = float(given) if isinstance(given, (int, float)) and not isinstance(given, bool) else math.nan
    if not 0 <= seconds <= MAX_SLEEP:
        raise PermanentFailure(f"seconds must be a number from 0 to {MAX_SLEEP:.0f}, got {str(given)[:40]}")
    return seconds


def sleep_marks(seconds: float) -> Iterator[tuple[float, float]]:
    """When a sleep reports, in seconds since its start, and what: about four times a second, at most 100 times."""
    pieces = max(1, min(100, int(seconds * 4)))
    for n in range(1, pieces + 1):
        yield seconds * n / pieces, n / pieces
