"""Opens MongoDB and Redis and yields the ports of a process. The one place where adapters are chosen.

MongoDB must be there and be a replica set, else the start is refused. Redis may be away: it is an index, and whatever
it lacks is rebuilt when it comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog
from redis.asyncio import Redis

from app.clock import SystemClock
from app.config import DEFAULT_REDIS_URL, Settings
from app.domain.errors import Unavailable
from app.domain.ports import ArtifactStore
from app.providers import provider_of
from app.quarantine import Quarantine
from app.sampling import OptunaSampler
from app.services import Services
from app.startup import StartupTrouble, artifacts_unusable, mongodb_missing, redis_unreachable
from app.storage import mongo, redis
from app.storage.announcements import RedisAnnouncements
from app.storage.answers import MongoAnswerStore
from app.storage.artifact_directory import DirectoryArtifactStore
from app.storage.artifacts import GridFsArtifactStore
from app.storage.batches import MongoBatchStore
from app.storage.bells import RedisBells
from app.storage.capacity import MongoCapacityStore
from app.storage.datasets import MongoDatasetStore
from app.storage.decisions import MongoDecisionStore
from app.storage.dispatcher import ArqDispatcher, arq_pool
from app.storage.expressions import CelExpressions
from app.storage.feed import MongoChangeFeed
from app.storage.graph import MongoDependencyGraph
from app.storage.health import StoresHealth
from app.storage.indexes import ensure_indexes, kept_indexes
from app.storage.jobs import MongoJobStore
from app.storage.leases import MongoLeaseStore
from app.storage.limits import MongoLimitStore
from app.storage.logs import MongoLogStore
from app.storage.metrics import MongoMetricStore
from app.storage.names import MongoNameRegister
from app.storage.nodes import MongoNodeStore
from app.storage.observing import StoreObserver
from app.storage.quarantine import QuarantineStore
from app.storage.queue_index import RedisQueueIndex
from app.storage.rollups import MongoRollupStore
from app.storage.runs import MongoRunStore
from app.storage.scheduler_state import MongoSchedulerStore
from app.storage.secrets import MongoSecretStore
from app.storage.templates import MongoTemplateStore
from app.storage.trials import MongoTrialStore
from app.storage.workflows import MongoDefinitionStore, MongoScheduleStore, MongoStepCache, MongoWorkflowStore
from app.webhooks import SignedWebhooks

log = structlog.get_logger()


@asynccontextmanager
async def open_services(
    settings: Settings, *, role: str, observer: StoreObserver | None = None
) -> AsyncIterator[Services]:
    """The services of a process in this role (`api`, `worker`); `observer` is told how long the stores take. Raises
    StartupTrouble when MongoDB cannot be used."""
    if settings.store.mongodb_uri is None:
        raise StartupTrouble(mongodb_missing())
    async with AsyncExitStack() as stack:
        database = mongo.connect(settings.store.mongodb_uri, settings.store.database, observer=observer)
        stack.push_async_callback(database.close)
        facts = await mongo.verify(database)
        await ensure_indexes(database, change=role == "api")
        if role == "api":
            await ensure_indexes(database, kept_indexes(settings.retention))
        _share(settings.data.artifact_directory)
        url = settings.queue.redis_url or DEFAULT_REDIS_URL
        index = redis.connect(url, observer)
        stack.push_async_callback(index.aclose)
        await _meet(index, url)
        log.info("stores.opened", role=role, mongodb=facts.version)
        services = make_services(settings, database, index)
        if role == "api":
            services = replace(services, provider=provider_of(settings, services.clock))
            stack.push_async_callback(services.provider.aclose)
        else:
            services = replace(services, knows_limits=False)
        stack.push_async_callback(services.expressions.stop)
        yield services


def _share(folder: Path | None) -> None:
    """Raises StartupTrouble for a folder that cannot be used, before a run has something to put there."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupTrouble(artifacts_unusable(str(folder), error.strerror or str(error))) from error


async def _meet(index: Redis, url: str) -> None:
    try:
        await redis.facts(index)
    except Unavailable as error:
        log.warning("redis.away", remedy=redis_unreachable(url, str(error.__cause__)))


def make_services(settings: Settings, database: mongo.Database, index: Redis) -> Services:
    """The ports over these two connections."""
    namespace = redis.namespace_of(settings.store.database)
    bells, clock = RedisBells(index, namespace), SystemClock()
    quarantine = Quarantine(QuarantineStore(database).keep)
    return Services(
        settings=settings,
        clock=clock,
        jobs=MongoJobStore(database, quarantine=quarantine, answers_kept=settings.retention.answers),
        graph=MongoDependencyGraph(database),
        batches=MongoBatchStore(database, quarantine=quarantine, answers_kept=settings.retention.answers),
        nodes=MongoNodeStore(database, quarantine=quarantine),
        leases=MongoLeaseStore(database, quarantine=quarantine),
        templates=MongoTemplateStore(database, quarantine=quarantine),
        datasets=MongoDatasetStore(database, quarantine=quarantine),
        names=MongoNameRegister(database),
        secrets=MongoSecretStore(database),
        answers=MongoAnswerStore(database),
        runs=MongoRunStore(database, quarantine=quarantine),
        rollups=MongoRollupStore(database, quarantine=quarantine),
        scheduler=MongoSchedulerStore(database),
        capacity=MongoCapacityStore(database),
        limits=MongoLimitStore(database),
        decisions=MongoDecisionStore(database),
        trials=MongoTrialStore(database, quarantine=quarantine),
        sampler=OptunaSampler(),
        logs=MongoLogStore(database),
        metrics=MongoMetricStore(database),
        artifacts=_artifacts(settings.data.artifact_directory, database),
        queue=RedisQueueIndex(index, namespace, quarantine),
        announcements=RedisAnnouncements(index, namespace),
        dispatcher=ArqDispatcher(arq_pool(index, namespace), bells),
        bells=bells,
        feed=MongoChangeFeed(database),
        health=StoresHealth(database, index),
        expressions=CelExpressions(),
        definitions=MongoDefinitionStore(database, quarantine=quarantine),
        workflows=MongoWorkflowStore(database, quarantine=quarantine),
        schedules=MongoScheduleStore(database, quarantine=quarantine),
        step_cache=MongoStepCache(database),
        webhooks=SignedWebhooks(settings.callbacks, clock),
        quarantine=quarantine,
    )


def _artifacts(folder: Path | None, database: mongo.Database) -> ArtifactStore:
    return GridFsArtifactStore(database) if folder is None else DirectoryArtifactStore(folder.resolve())
