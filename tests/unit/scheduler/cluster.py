"""A whole scheduler over memory adapters, with a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from app.config import load_settings
from app.domain import transitions
from app.domain.analytics.rollups import Grain
from app.domain.job import Job
from app.domain.nodes import Node, NodeState
from app.domain.ports import node_lease
from app.domain.queueing import ticket_of
from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import PastRun
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd
from app.metrics import Metrics
from app.operations.change import transition
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.cycle import Cycle
from app.services import Services
from app.storage.memory.announcements import MemoryAnnouncements
from app.storage.memory.batches import MemoryBatchStore
from app.storage.memory.bells import MemoryBells
from app.storage.memory.capacity import MemoryCapacityStore
from app.storage.memory.decisions import MemoryDecisionStore
from app.storage.memory.dispatcher import MemoryDispatcher
from app.storage.memory.graph import MemoryDependencyGraph
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.leases import MemoryLeaseStore
from app.storage.memory.limits import MemoryLimitStore
from app.storage.memory.nodes import MemoryNodeStore
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.memory.rollups import MemoryRollupStore
from app.storage.memory.runs import MemoryRunStore
from app.storage.memory.scheduler_state import MemorySchedulerStore
from app.storage.memory.trials import MemoryTrialStore
from tests.support.clock import FixedClock
from tests.support.leases import taken
from tests.unit.domain.builders import NOW, JobBuilder, a_job

ABSENT = cast("Any", None)
"""For the ports that a scheduler does not use."""


class Runs(MemoryRunStore):
    """Run summaries, also in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.summaries: list[RunSummary] = []

    async def insert(self, summary: RunSummary) -> None:
        self.summaries.append(summary)
        await super().insert(summary)

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        return []

    def forget(self) -> None:
        """As a store does with what has been kept long enough."""
        self._stored.clear()


class Rollups(MemoryRollupStore):
    """Which forgets minutes when it is told to."""

    def expire(self, before: datetime) -> None:
        """Minutes that were made of what ended before then, as if they had been made at once."""
        self._stored = {
            key: rollup
            for key, rollup in self._stored.items()
            if rollup.grain is not Grain.MINUTE or rollup.at >= before
        }


class Cluster:
    """Stores, a cycle, and what tests do to them. Settings by variable name."""

    def __init__(self, *, checkpoint: Checkpoint = no_checkpoint, **settings: object) -> None:
        self.clock = FixedClock(NOW)
        self.leases = MemoryLeaseStore(self.clock)
        self.nodes = MemoryNodeStore(self.leases)
        self.jobs = MemoryJobStore(self.clock)
        self.bells = MemoryBells()
        self.queue = MemoryQueueIndex(self.bells)
        self.dispatcher = MemoryDispatcher(self.bells)
        self.decisions = MemoryDecisionStore()
        self.runs = Runs()
        self.rollups = Rollups()
        self.scheduler = MemorySchedulerStore()
        self.metrics = Metrics()
        limits = MemoryLimitStore()
        self.services = Services(
            settings=load_settings({}, **{"MAX_CONCURRENT_JOBS": 0, **settings}),
            clock=self.clock,
            jobs=self.jobs,
            graph=MemoryDependencyGraph(self.jobs),
            batches=MemoryBatchStore(self.jobs, limits, self.clock),
            nodes=self.nodes,
            leases=self.leases,
            templates=ABSENT,
            datasets=ABSENT,
            names=ABSENT,
            secrets=ABSENT,
            answers=ABSENT,
            runs=self.runs,
            rollups=self.rollups,
            scheduler=self.scheduler,
            capacity=MemoryCapacityStore(),
            decisions=self.decisions,
            limits=limits,
            trials=MemoryTrialStore(),
            sampler=ABSENT,
            logs=ABSENT,
            metrics=ABSENT,
            artifacts=ABSENT,
            queue=self.queue,
            announcements=MemoryAnnouncements(),
            dispatcher=self.dispatcher,
            bells=self.bells,
            feed=ABSENT,
            health=ABSENT,
            expressions=ABSENT,
            definitions=ABSENT,
            workflows=ABSENT,
            schedules=ABSENT,
            step_cache=ABSENT,
            webhooks=ABSENT,
        )
        quarantined = self.metrics.documents_quarantined
        self.services.quarantine.on_new = lambda kind: quarantined.labels(kind).inc()
        self.cycle = Cycle(self.services, self.metrics, checkpoint)

    async def add_node(self, name: str = "n1", cores: float = 8, memory_gb: float = 32, gpus: int = 0) -> Node:
        """A READY node whose lease lasts an hour."""
        capacity = Vector.from_units({"cpu_cores": cores, "memory_gb": memory_gb, "gpu_count": gpus, "storage_gb": 100})
        node = Node(name, NodeState.READY, 1, {}, capacity, capacity)
        await taken(self.leases, node_lease(name), name, timedelta(hours=1))
        await self.nodes.register(node)
        return node

    async def add(self, job: Job | JobBuilder, *, indexed: bool = True) -> Job:
        """Store a job, and index it when it is queued, unless a crash came between."""
        found = job.job if isinstance(job, JobBuilder) else job
        await self.jobs.insert(found)
        if indexed and found.status is JobStatus.QUEUED:
            await self.queue.enqueue([ticket_of(found)])
        return found

    async def add_many(self, count: int, **request: Any) -> list[Job]:
        return [await self.add(a_job(name=f"j{n}", **request)) for n in range(count)]

    async def job(self, job_id: str) -> Job:
        found = await self.jobs.get(job_id)
        assert found is not None
        return found

    async def states(self, jobs: Sequence[Job]) -> list[str]:
        return [(await self.job(j.id)).status.value for j in jobs]

    async def run_to_end(self, job_id: str, seconds: float = 0) -> Job:
        """Start and complete a scheduled job, as its node would."""
        await transition(self.services, job_id, transitions.start)
        self.clock.advance(seconds)
        return await transition(self.services, job_id, lambda j, s: transitions.complete(j, RunEnd(result={}), s))

    async def held(self) -> dict[str, list[tuple[str, int]]]:
        """The runs that hold allocations, by node."""
        return {n.id: [(a.job_id, a.run_no) for a in n.allocations] for n in await self.nodes.all()}

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tensorfleet_{name}", labels) or 0.0
