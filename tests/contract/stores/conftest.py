"""The stores that stand beside jobs, over both drivers and in memory: a test that takes `small` runs over all three."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from app.domain.ports import (
    AnswerStore,
    ArtifactStore,
    CapacityStore,
    DatasetStore,
    LogStore,
    MetricStore,
    NameRegister,
    RollupStore,
    RunStore,
    SchedulerStore,
    SecretStore,
    TemplateStore,
    TrialStore,
)
from app.storage.answers import MongoAnswerStore
from app.storage.artifacts import GridFsArtifactStore
from app.storage.capacity import MongoCapacityStore
from app.storage.datasets import MongoDatasetStore
from app.storage.logs import MongoLogStore
from app.storage.memory.answers import MemoryAnswerStore
from app.storage.memory.artifacts import MemoryArtifactStore
from app.storage.memory.capacity import MemoryCapacityStore
from app.storage.memory.datasets import MemoryDatasetStore
from app.storage.memory.logs import MemoryLogStore
from app.storage.memory.metrics import MemoryMetricStore
from app.storage.memory.names import MemoryNameRegister
from app.storage.memory.rollups import MemoryRollupStore
from app.storage.memory.runs import MemoryRunStore
from app.storage.memory.scheduler_state import MemorySchedulerStore
from app.storage.memory.secrets import MemorySecretStore
from app.storage.memory.templates import MemoryTemplateStore
from app.storage.memory.trials import MemoryTrialStore
from app.storage.metrics import MongoMetricStore
from app.storage.mongo import Database, connect
from app.storage.names import MongoNameRegister
from app.storage.rollups import MongoRollupStore
from app.storage.runs import MongoRunStore
from app.storage.scheduler_state import MongoSchedulerStore
from app.storage.secrets import MongoSecretStore
from app.storage.templates import MongoTemplateStore
from app.storage.trials import MongoTrialStore
from tests.contract.conftest import DRIVERS


@dataclass(frozen=True, slots=True)
class SmallStores:
    """Empty at the beginning of a test. `mongo` is None in memory."""

    templates: TemplateStore
    datasets: DatasetStore
    names: NameRegister
    answers: AnswerStore
    runs: RunStore
    rollups: RollupStore
    logs: LogStore
    metrics: MetricStore
    artifacts: ArtifactStore
    scheduler: SchedulerStore
    secrets: SecretStore
    capacity: CapacityStore
    trials: TrialStore
    mongo: Database | None = None


def over(database: Database) -> SmallStores:
    """Those of a database."""
    return SmallStores(
        MongoTemplateStore(database),
        MongoDatasetStore(database),
        MongoNameRegister(database),
        MongoAnswerStore(database),
        MongoRunStore(database),
        MongoRollupStore(database),
        MongoLogStore(database),
        MongoMetricStore(database),
        GridFsArtifactStore(database),
        MongoSchedulerStore(database),
        MongoSecretStore(database),
        MongoCapacityStore(database),
        MongoTrialStore(database),
        database,
    )


def in_memory() -> SmallStores:
    """Those without a database."""
    return SmallStores(
        MemoryTemplateStore(),
        MemoryDatasetStore(),
        MemoryNameRegister(),
        MemoryAnswerStore(),
        MemoryRunStore(),
        MemoryRollupStore(),
        MemoryLogStore(),
        MemoryMetricStore(),
        MemoryArtifactStore(),
        MemorySchedulerStore(),
        MemorySecretStore(),
        MemoryCapacityStore(),
        MemoryTrialStore(),
    )


@pytest.fixture(params=(*DRIVERS, "memory"))
async def small(request: pytest.FixtureRequest, mongo_uri: str, database: str) -> AsyncIterator[SmallStores]:
    """Empty stores."""
    if request.param == "memory":
        yield in_memory()
        return
    handle = connect(mongo_uri, database, driver=request.param)
    yield over(handle)
    await handle.close()
