"""A sweep over stores in memory, whose trials are run by hand; any write may be the last of its process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.batch_transitions import first_entry
from app.domain.batches import Batch, BatchKind, BatchStatus, new_batch_id
from app.domain.job import Job, JobError
from app.domain.records import JobQuery, MetricPoint
from app.domain.specification import JobRequest
from app.domain.states import JobStatus
from app.domain.sweeps.definition import Definition
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Trial
from app.domain.transitions import RunEnd, complete, fail, place, prune, start
from app.operations.change import commit_all, look_again
from app.operations.sweeps.driving import drive
from app.operations.sweeps.searching import Search
from app.services import Services
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services

WRITES = {
    "trials": ("insert", "replace"),
    "jobs": ("insert", "commit"),
    "batches": ("commit", "insert", "carried_out"),
    "limits": ("take", "release", "hold"),
    "queue": ("enqueue", "dequeue"),
}
Score = Callable[[Trial], float | None]


class Crashed(BaseException):
    """The process ended here."""


@dataclass
class Fuse:
    """Ends the process at the n-th write, before or after it is made. Zero: never."""

    at: int = 0
    before: bool = True
    writes: int = 0

    async def blow(self, write: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        self.writes += 1
        if self.writes == self.at and self.before:
            raise Crashed
        done = await write(*args, **named)
        if self.writes == self.at:
            raise Crashed
        return done


@dataclass
class Watched:
    """A port whose writes go through the fuse."""

    port: Any
    names: tuple[str, ...]
    fuse: Fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        if name not in self.names:
            return found
        return lambda *args, **named: self.fuse.blow(found, *args, **named)


@dataclass
class World:
    """One sweep. `crash(n)` has the n-th write from now on end whoever drives; the next look is a new process's."""

    sweep: Sweep
    request: JobRequest = field(default_factory=lambda: JobRequest("hyperparameter_tuning", {"algorithm": "svm"}))
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.stores = memory_services(self.clock, FakeHealth())
        self.fuse = Fuse()
        ports = {name: Watched(getattr(self.stores, name), writes, self.fuse) for name, writes in WRITES.items()}
        self.services: Services = replace(self.stores, **ports)
        self.search: Search | None = None
        self.crashes = 0
        self.fault: str | None = None
        """Of all trials that fail; each has its own where this is None."""

    async def begin(self) -> None:
        """The batch as a submit leaves it, without a trial."""
        stamp = self.stores.stamp("ann")
        self.batch_id = new_batch_id(stamp.at, bytes(7))
        definition = Definition(self.sweep, self.request, 1)
        batch = Batch(
            self.batch_id, BatchKind.SWEEP, "sweep", "default", BatchStatus.RUNNING, 1, self.sweep.max_trials, stamp.at,
            (first_entry(stamp),), max_parallel=self.sweep.max_parallel, template="hyperparameter_tuning",
            spec=definition.to_json(),
        )  # fmt: skip
        await self.stores.batches.insert(batch, [])

    async def batch(self) -> Batch:
        found = await self.stores.batches.get(self.batch_id)
        assert found is not None
        return found

    def crash(self, at: int, *, before: bool = True) -> None:
        self.fuse.at, self.fuse.before, self.fuse.writes = at, before, 0

    async def look(self) -> None:
        """One look at the sweep, by whoever has its book; a crash loses the book."""
        try:
            self.search = self.search or Search.of(await self.batch())
            self.search.batch = await self.batch()
            await drive(self.services, self.search)
        except Crashed:
            self.crashes += 1
            self.search = None
            self.fuse.at = 0

    async def trials(self) -> list[Trial]:
        return await self.stores.trials.of(self.batch_id)

    async def jobs(self, *status: JobStatus) -> list[Job]:
        """By trial."""
        page = await self.stores.jobs.find(JobQuery(batch_id=self.batch_id, status=frozenset(status), limit=500))
        return sorted(page.jobs, key=lambda job: job.id)

    async def running(self, job: Job) -> Job:
        """The job once it runs."""
        for step in (lambda j: place(j, "node-1", (), self._stamp()), lambda j: start(j, self._stamp())):
            job = await self._moved(job, step(job))
        return job

    async def tell(self, job: Job, values: dict[int | None, float]) -> None:
        """The run reports its objective at steps."""
        at = self._stamp().at
        points = [MetricPoint(self.sweep.objective, value, n, "train", at) for n, value in values.items()]
        await self.stores.metrics.append(job.id, job.run_no, points)

    async def completed(self, job: Job, value: float | None = None, **metrics: float) -> Job:
        if value is not None:
            await self.tell(job, {None: value})
        return await self._moved(job, complete(job, RunEnd(result={"metrics": metrics, "steps": {}}), self._stamp()))

    async def failed(self, job: Job, fault: str = "broken") -> Job:
        error = JobError("error", "it broke", fingerprint=fault)
        return await self._moved(job, fail(job, "error", RunEnd(error=error), self._stamp()))

    async def pruned(self, job: Job) -> Job:
        return await self._moved(job, prune(job, RunEnd(result={"metrics": {}, "steps": {}}), self._stamp(), None))

    async def run_all(self, score: Score, order: Iterator[int] | None = None) -> None:
        """Look, run one trial to its end, look again, until nothing is left. `order` says which of those that wait."""
        for _ in range(10 * self.sweep.max_trials + 50):
            await self.look()
            waiting = await self.jobs(JobStatus.QUEUED)
            if not waiting:
                if await self._reconciled() and await self._quiet():
                    return
                continue
            job = waiting[(next(order) if order else 0) % len(waiting)]
            trial = next((t for t in await self.trials() if t.job_id == job.id), None)
            assert trial is not None, f"{job.id} waits, and is no trial's"
            value = score(trial)
            job = await self.running(job)
            await (
                self.failed(job, self.fault or f"fault {trial.number}") if value is None else self.completed(job, value)
            )
        raise AssertionError("the sweep does not come to its end")

    async def _reconciled(self) -> bool:
        """What the reconciler does for jobs that nobody let into the queue. Whether there are none."""
        left = await self.jobs(JobStatus.SUBMITTED)
        for job in left:
            await look_again(self.stores, job)
        return not left

    async def _quiet(self) -> bool:
        """Whether another look changes nothing."""
        before = await self.trials(), await self.batch()
        await self.look()
        return before == (await self.trials(), await self.batch()) and not await self.jobs(JobStatus.QUEUED)

    def _stamp(self) -> Any:
        self.clock.advance(0.001)
        return self.stores.stamp()

    async def _moved(self, job: Job, change: Any) -> Job:
        [after] = await commit_all(self.stores, [(job, change)])
        assert after is not None
        return after
