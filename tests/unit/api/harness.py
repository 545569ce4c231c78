"""The API over memory adapters behind a real uvicorn: what a client of the service sees, without databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from app.api.application import create_app
from app.api.hub import Hub
from app.api.state import STATE_KEY, ApiState, LoopStatus
from app.config import load_settings
from app.domain.job import Job
from app.domain.records import LogLine
from app.domain.transitions import Change, apply
from app.metrics import Metrics
from app.sampling import OptunaSampler
from app.scheduler.inquiry import Inquiry
from app.services import Services
from app.storage.expressions import CelExpressions
from app.storage.feed.events import entry_events, log_events
from app.storage.memory.announcements import MemoryAnnouncements
from app.storage.memory.answers import MemoryAnswerStore
from app.storage.memory.artifacts import MemoryArtifactStore
from app.storage.memory.batches import MemoryBatchStore
from app.storage.memory.bells import MemoryBells
from app.storage.memory.capacity import MemoryCapacityStore
from app.storage.memory.datasets import MemoryDatasetStore
from app.storage.memory.decisions import MemoryDecisionStore
from app.storage.memory.dispatcher import MemoryDispatcher
from app.storage.memory.feed import MemoryFeed
from app.storage.memory.graph import MemoryDependencyGraph
from app.storage.memory.jobs import MemoryJobStore
from app.storage.memory.leases import MemoryLeaseStore
from app.storage.memory.limits import MemoryLimitStore
from app.storage.memory.logs import MemoryLogStore
from app.storage.memory.metrics import MemoryMetricStore
from app.storage.memory.names import MemoryNameRegister
from app.storage.memory.nodes import MemoryNodeStore
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.memory.rollups import MemoryRollupStore
from app.storage.memory.runs import MemoryRunStore
from app.storage.memory.scheduler_state import MemorySchedulerStore
from app.storage.memory.secrets import MemorySecretStore
from app.storage.memory.templates import MemoryTemplateStore
from app.storage.memory.trials import MemoryTrialStore
from app.storage.memory.webhooks import MemoryWebhooks
from app.storage.memory.workflows import (
    MemoryDefinitionStore,
    MemoryScheduleStore,
    MemoryStepCache,
    MemoryWorkflowStore,
)
from tests.support.clock import FixedClock


@dataclass
class FakeHealth:
    """Says what the test wants the stores to say."""

    checks: dict[str, str] = field(default_factory=lambda: {"mongodb": "ok", "redis": "ok"})

    async def check(self) -> dict[str, str]:
        return dict(self.checks)


@dataclass
class Api:
    """A running service: its client, and its insides."""

    client: httpx.AsyncClient
    services: Services
    feed: MemoryFeed
    hub: Hub
    clock: FixedClock
    health: FakeHealth
    loop: list[LoopStatus]
    app: FastAPI

    async def submit(self, **fields: Any) -> str:
        """The id of a new `noop` job, or of what the fields say."""
        answer = await self.client.post("/api/v1/jobs", json={"template": "noop", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    async def job(self, job_id: str) -> Job:
        job = await self.services.jobs.get(job_id)
        assert job is not None
        return job

    async def commit(self, job: Job, *changes: Change) -> Job:
        """Commit changes of one job in turn, each told to the feed."""
        for change in changes:
            assert await self.services.jobs.commit([change]) == [True]
            job = apply(job, change)
            await self.tell(job)
        return job

    async def tell(self, job: Job) -> None:
        """Publish the newest history entry of a job."""
        entry = job.history[-1]
        document = {
            "seq": entry.seq, "from": entry.source, "to": entry.to, "reason": entry.reason, "at": entry.at,
            "actor": entry.actor, "attempt": entry.attempt, "run_no": entry.run_no, "detail": entry.detail,
        }  # fmt: skip
        last = {"name": job.name, "tags": list(job.tags), "effective_priority": job.effective_priority}
        last |= {"seq": job.seq, "moved_to": job.moved_to}
        await self.feed.publish(*entry_events(job.id, document, last))

    async def tell_line(self, job_id: str, run_no: int, line: LogLine) -> None:
        """Publish a stored log line."""
        chunk = {"job_id": job_id, "run_no": run_no, "lines": [asdict(line)]}
        await self.feed.publish(*log_events(chunk, {"job_id": job_id}))


def memory_services(clock: FixedClock, health: FakeHealth, **environ: str) -> Services:
    """All ports in memory."""
    answers, bells, leases = MemoryAnswerStore(), MemoryBells(), MemoryLeaseStore(clock)
    jobs, limits = MemoryJobStore(clock), MemoryLimitStore()
    return Services(
        settings=load_settings(environ),
        clock=clock,
        jobs=jobs,
        graph=MemoryDependencyGraph(jobs),
        batches=MemoryBatchStore(jobs, limits, clock),
        nodes=MemoryNodeStore(leases),
        leases=leases,
        templates=MemoryTemplateStore(),
        datasets=MemoryDatasetStore(),
        names=MemoryNameRegister(),
        secrets=MemorySecretStore(),
        answers=answers,
        runs=MemoryRunStore(),
        rollups=MemoryRollupStore(),
        scheduler=MemorySchedulerStore(),
        capacity=MemoryCapacityStore(),
        limits=limits,
        decisions=MemoryDecisionStore(),
        trials=MemoryTrialStore(),
        sampler=OptunaSampler(),
        logs=MemoryLogStore(),
        metrics=MemoryMetricStore(),
        artifacts=MemoryArtifactStore(),
        queue=MemoryQueueIndex(bells),
        announcements=MemoryAnnouncements(),
        dispatcher=MemoryDispatcher(bells),
        bells=bells,
        feed=MemoryFeed(),
        health=health,
        expressions=CelExpressions(children=1),
        definitions=MemoryDefinitionStore(),
        workflows=MemoryWorkflowStore(),
        schedules=MemoryScheduleStore(),
        step_cache=MemoryStepCache(),
        webhooks=MemoryWebhooks(),
    )


@asynccontextmanager
async def running_api(**environ: str) -> AsyncIterator[Api]:
    """A service on a free port."""
    clock, health, loop = FixedClock(), FakeHealth(), [LoopStatus(True, "leading")]
    services = memory_services(clock, health, **environ)
    feed = services.feed
    assert isinstance(feed, MemoryFeed)
    metrics = Metrics("test")
    hub = Hub(feed, metrics)
    state = ApiState(services, hub, metrics, Inquiry(services), lambda: loop[0])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with hub:
            yield {STATE_KEY: state}

    app = create_app(services.settings, lifespan)
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()  # without `serve`, whose loop looks for the end only ten times a second
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield Api(client, services, feed, hub, clock, health, loop, app)
    finally:
        hub.close()
        await server.shutdown()
        await services.expressions.stop()


@dataclass(frozen=True)
class Frame:
    """One event as a client reads it."""

    event: str
    data: str
    id: str | None


async def frames(response: httpx.Response) -> AsyncIterator[Frame]:
    """The events of an open stream; comments are skipped."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line == "" and fields:
            yield Frame(fields.get("event", "message"), fields.get("data", ""), fields.get("id"))
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


async def take(stream: AsyncIterator[Frame], count: int) -> Sequence[Frame]:
    """The next `count` events."""
    return [await asyncio.wait_for(anext(stream), 30) for _ in range(count)]
