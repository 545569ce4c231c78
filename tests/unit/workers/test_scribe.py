"""The scribe: what a store cannot take is offered again, what it refuses is dropped, and neither ends the rounds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from app.domain.errors import Unavailable
from tests.support.clock import FixedClock
from tests.support.wait import until
from tests.unit.domain.builders import a_job
from workers.live import LiveRun, LiveRuns
from workers.scribe import Scribe


class Stores:
    """Logs, metrics and progress in one: raises what the test says, remembers what it took."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.lines: list[str] = []
        self.deleted: list[tuple[int, int]] = []
        self.saved = 0
        self.refused = 0

    async def away(self, *_: object) -> None:
        raise Unavailable("MongoDB")

    async def append(self, _job_id: str, _run_no: int, items: list[Any]) -> None:
        if self.error is not None:
            self.refused += 1
            raise self.error
        self.lines += [item.text for item in items if hasattr(item, "text")]

    async def delete_between(self, _job_id: str, _run_no: int, after: int, before: int) -> None:
        if self.error is not None:
            raise self.error
        self.deleted.append((after, before))

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


async def test_the_tail_of_a_long_log_is_stored_as_it_comes_and_older_parts_are_deleted() -> None:
    stores = Stores()
    scribe, run = a_run(stores)
    for n in range(1_200):
        run.printed(b"x" * 9_999 + b"\n")
        if n % 10 == 9:
            await scribe.round(float(n))
            assert len(stores.lines) == n + 1, "all that was printed is in the store after a round"
    [*_, (after, before)] = stores.deleted
    assert 0 < after < before - 50 and before > 1_050


async def test_deleting_that_failed_is_done_later() -> None:
    stores = Stores()
    scribe, run = a_run(stores)
    for _ in range(1_200):
        run.printed(b"x" * 9_999 + b"\n")
    delete, stores.delete_between = stores.delete_between, stores.away  # type: ignore[method-assign]
    await scribe.round(1.0)
    for _ in range(200):
        run.printed(b"x" * 9_999 + b"\n")
        await scribe.round(1.0)
    assert stores.deleted == [] and run.logbook.surplus is not None
    stores.delete_between = delete  # type: ignore[method-assign]
    await scribe.round(2.0)
    assert stores.deleted and run.logbook.surplus is None


async def test_the_end_of_a_run_waits_until_its_last_lines_are_stored() -> None:
    stores = Stores()
    scribe, run = a_run(stores)
    run.say("last words")
    stores.error = Unavailable("MongoDB")
    ending = asyncio.ensure_future(scribe.finish(run))
    await until(lambda: stores.refused)
    assert not ending.done()
    stores.error = None
    await asyncio.wait_for(ending, 30)
    assert stores.lines == ["last words"]


async def test_a_run_that_is_ending_is_still_written() -> None:
    stores = Stores()
    scribe, run = a_run(stores)
    run.ending = True
    run.say("while its files are kept")
    await scribe.round(1.0)
    assert stores.lines == ["while its files are kept"] and stores.saved == 0
