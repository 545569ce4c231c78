"""What users want of live runs: a runner that remembers what it was told, over stores in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from app.domain.control_transitions import request_control, resume_in_place
from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.transitions import RunEnd, requeue
from app.operations.change import commit_all, transition
from app.operations.pause import pause
from app.operations.resume import resume
from app.services import Services
from tests.support.clock import FixedClock
from tests.support.wait import until
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import NOW, a_job
from workers.controls import Controls
from workers.live import LiveRun, LiveRuns
from workers.run import Listener, RunEnding, RunKey, RunOrder, RunReport


@dataclass
class FakeRunner:
    """Tells what it was told. `can_freeze` says whether a run is at a point where it can be stopped."""

    can_freeze: bool = True
    frozen: bool = False
    did: list[str] = field(default_factory=list)
    said: str = ""
    freezing: asyncio.Event = field(default_factory=asyncio.Event)
    may_freeze: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, order: RunOrder, listener: Listener) -> RunReport:
        raise AssertionError("the controls start no run")

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        self.did.append(f"stop {reason}")
        self.said = message

    async def freeze(self, key: RunKey) -> bool:
        self.did.append("freeze")
        self.freezing.set()
        await self.may_freeze.wait()
        self.frozen = self.can_freeze
        return self.can_freeze

    async def thaw(self, key: RunKey) -> None:
        self.did.append("thaw")
        self.frozen = False


@dataclass
class Bench:
    """One live run and what looks at it."""

    services: Services
    runner: FakeRunner
    run: LiveRun
    controls: Controls

    @property
    def job_id(self) -> str:
        return self.run.key.job_id

    async def job(self) -> Job:
        job = await self.services.jobs.get(self.job_id)
        assert job is not None
        return job

    async def ask(self, action: str) -> None:
        await transition(
            self.services, self.job_id, lambda job, stamp: request_control(job, action, stamp, "because"), "ann"
        )

    async def reasons(self) -> list[str]:
        return [entry.reason for entry in (await self.job()).history[3:]]


async def a_bench(**fields: object) -> Bench:
    services = memory_services(FixedClock(NOW), FakeHealth())
    job = a_job("sleep").running().but(**fields).job
    await services.jobs.insert(job)
    runner, runs = FakeRunner(), LiveRuns()
    runner.may_freeze.set()
    run = LiveRun(job, runner, services.clock)
    runs.add(run)
    return Bench(services, runner, run, Controls(services, runs))


@pytest.mark.parametrize(("action", "ending"), [("cancel", "cancelled"), ("release", "released"), ("prune", "pruned")])
async def test_a_wish_to_end_stops_the_run_once(action: str, ending: str) -> None:
    bench = await a_bench()
    await bench.ask(action)
    await bench.controls.look()
    await bench.controls.look()
    assert bench.runner.did == [f"stop {ending}"] and bench.runner.said == "because"
    assert (await bench.job()).status == "RUNNING", "its end is told when nothing of it lives"


async def test_a_pause_stops_the_run_and_then_says_so() -> None:
    bench = await a_bench()
    bench.runner.may_freeze.clear()
    await pause(bench.services, bench.job_id, "ann", "lunch")
    looking = asyncio.create_task(bench.controls.look())
    await bench.runner.freezing.wait()
    assert not (await bench.job()).frozen, "it is not told before it is so"
    bench.runner.may_freeze.set()
    await looking
    job = await bench.job()
    assert job.frozen and bench.runner.frozen and job.control is None
    assert (job.history[-1].actor, job.history[-1].detail) == ("ann", "lunch")


async def test_a_resume_is_told_before_the_run_goes_on() -> None:
    bench = await a_bench()
    await pause(bench.services, bench.job_id, "ann", None)
    await bench.controls.look()
    await resume(bench.services, bench.job_id, "bob", "back")
    await bench.controls.look()
    await bench.controls.look()
    assert await bench.reasons() == ["control_requested", "paused", "control_requested", "resumed"]
    job = await bench.job()
    assert job.status == "RUNNING" and job.history[-1].actor == "bob" and bench.runner.did == ["freeze", "thaw"]


async def test_a_frozen_run_stays_as_it_is_however_often_one_looks() -> None:
    bench = await a_bench()
    await pause(bench.services, bench.job_id, "ann", None)
    for _ in range(4):
        await bench.controls.look()
    assert bench.runner.did == ["freeze"] and await bench.reasons() == ["control_requested", "paused"]


@pytest.mark.parametrize(("then", "did"), [("resume", "thaw"), ("cancel", "stop cancelled")])
async def test_who_thinks_better_of_a_pause_while_it_is_carried_out_wins(then: str, did: str) -> None:
    bench = await a_bench()
    bench.runner.may_freeze.clear()
    await bench.ask("pause")
    looking = asyncio.create_task(bench.controls.look())
    await bench.runner.freezing.wait()
    await bench.ask(then)
    bench.runner.may_freeze.set()
    await looking
    assert bench.runner.did == ["freeze", did]
    assert await bench.reasons() == ["control_requested", "control_requested"]


async def test_a_frozen_run_can_be_cancelled_and_released() -> None:
    for action, ending in (("cancel", "cancelled"), ("release", "released")):
        bench = await a_bench()
        await bench.ask("pause")
        await bench.controls.look()
        await bench.ask(action)
        await bench.controls.look()
        assert bench.runner.did == ["freeze", f"stop {ending}"]


async def test_a_run_that_cannot_be_frozen_yet_is_tried_again_soon() -> None:
    bench = await a_bench()
    bench.runner.can_freeze = False
    await bench.ask("pause")
    await bench.controls.look()
    assert (await bench.job()).status == "RUNNING"
    bench.runner.can_freeze = True
    await until(lambda: bench.runner.frozen)
    await until(lambda: _frozen(bench))


async def _frozen(bench: Bench) -> bool:
    return (await bench.job()).frozen


async def test_what_runs_inline_is_released_when_it_is_paused() -> None:
    bench = await a_bench(executor="inline")
    await bench.ask("pause")
    await bench.controls.look()
    assert bench.runner.did == ["stop released"]


async def test_a_run_that_stands_frozen_for_too_long_gives_its_node_back() -> None:
    bench = await a_bench()
    assert bench.services.settings.node.pause_hold.total_seconds() == 3600
    await bench.ask("pause")
    await bench.controls.look()
    assert bench.run.frozen_since is not None
    bench.run.frozen_since -= 3599
    await bench.controls.look()
    assert bench.runner.did == ["freeze"]
    bench.run.frozen_since -= 1
    await bench.controls.look()
    assert bench.runner.did == ["freeze", "stop released"] and "3600 s" in bench.runner.said


async def test_a_run_whose_job_went_on_without_it_is_fenced() -> None:
    bench = await a_bench()
    job = await bench.job()
    await commit_all(bench.services, [(job, requeue(job, "drained", RunEnd(), bench.services.stamp()))])
    await bench.controls.look()
    assert bench.runner.did == ["stop fenced"]


async def test_what_was_asked_of_an_earlier_run_is_not_asked_of_this_one() -> None:
    bench = await a_bench()
    await bench.ask("cancel")
    bench.run.key = RunKey(bench.job_id, bench.run.key.run_no - 1)
    await bench.controls.look()
    assert bench.runner.did == ["stop fenced"]


async def test_with_the_store_away_nothing_changes_until_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, but not yet told: the next look tells it, and does not stop it twice."""
    bench = await a_bench()
    await bench.ask("pause")

    async def away(*_: object) -> Job:
        raise Unavailable("MongoDB")

    with monkeypatch.context() as patch:
        patch.setattr("workers.controls.transition", away)
        with pytest.raises(Unavailable):
            await bench.controls.look()
    assert bench.runner.frozen and (await bench.job()).status == "RUNNING"
    await bench.controls.look()
    assert bench.runner.did == ["freeze"] and (await bench.job()).frozen


async def test_a_run_that_was_woken_by_its_end_is_not_frozen_again() -> None:
    """Its end made the job RUNNING again: the next look lets it go on to tell its end."""
    bench = await a_bench()
    await bench.ask("pause")
    await bench.controls.look()
    job = await bench.job()
    await commit_all(bench.services, [(job, resume_in_place(job, bench.services.stamp(), None))])
    await bench.controls.look()
    assert bench.runner.did == ["freeze", "thaw"]


async def test_runs_that_are_ending_are_left_alone() -> None:
    bench = await a_bench()
    await bench.ask("cancel")
    bench.run.ending = True
    await bench.controls.look()
    assert bench.runner.did == []


async def test_two_looks_at_once_act_once() -> None:
    bench = await a_bench()
    await bench.ask("pause")
    await asyncio.gather(*(bench.controls.look() for _ in range(5)))
    assert bench.runner.did == ["freeze"]
