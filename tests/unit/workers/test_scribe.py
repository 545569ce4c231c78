"""The scribe: what a store cannot take is offered again, what it refuses is dropped, and neither ends the rounds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from app.domain.errors import Unavailable
from tests.support.clock import FixedClock
from tests.unit.domain.builders import a_job
from workers.live import LiveRun, LiveRuns
from workers.scribe import Scribe


class Stores:
    """Logs, metrics and progress in one: raises what the test says, remembers what it took."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.lines: list[str] = []
        self.saved = 0

    async def append(self, _job_id: str, _run_no: int, items: list[Any]) -> None:
        if self.error is not None:
            raise self.error
        self.lines += [item.text for item in items if hasattr(item, "text")]

    async def save_progress(self, _job_id: str, _progress: object) -> bool:
        if self.error is not None:
            raise self.error
        self.saved += 1
        return True


def a_run(stores: Stores) -> tuple[Scribe, LiveRun]:
    clock, runs = FixedClock(), LiveRuns()
    services: Any = SimpleNamespace(logs=stores, metrics=stores, jobs=stores, clock=clock)
    run = LiveRun(a_job().running().job, SimpleNamespace(), clock)  # type: ignore[arg-type]
    runs.add(run)
    return Scribe(services, runs), run


async def test_what_a_store_could_not_take_is_offered_again() -> None:
    stores = Stores()
    scribe, run = a_run(stores)
    run.say("one")
    stores.error = Unavailable("MongoDB")
    await scribe.round(1.0)
    stores.error = None
    await scribe.round(2.0)
    assert stores.lines == ["one"]


async def test_what_a_store_refuses_is_dropped_and_the_worker_goes_on() -> None:
    """A run may report what no document can hold; that must not end the worker and with it every other run."""
    stores = Stores()
    scribe, run = a_run(stores)
    run.say("too much")
    run.heard({"type": "progress", "step": "noop", "progress": 0.5, "metrics": {"m": 1.0}})
    stores.error = ValueError("document too large")
    await scribe.round(1.0)
    stores.error = None
    run.say("next")
    await scribe.round(3.0)
    assert stores.lines == ["next"]
    assert not run.record.has_points
