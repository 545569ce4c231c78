"""Which runs are read for a plan, and how often."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain.records import RunSummary
from app.domain.sizing.features import facts_of, features_of
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import PastRun
from app.domain.specification import JobRequest, Specification
from app.operations.plan import plan
from app.storage.memory.runs import MemoryRunStore
from tests.contract.stores.test_runs import RUN
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services

FOREST = features_of({"algorithm": "random_forest"}, facts_of("iris", None))
KIND: dict[str, Any] = {"template": "ml_training_template", "algorithm": "random_forest"}


class Asked(MemoryRunStore):
    """Remembers which groups were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[str] = []

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        self.groups.append(group.name)
        return await super().alike(group, limit)


class World:
    """Services whose run store remembers."""

    def __init__(self) -> None:
        self.runs = Asked()
        self.services = replace(memory_services(FixedClock(), FakeHealth()), runs=self.runs)

    async def ran(self, count: int, **changes: Any) -> None:
        for n in range(count):
            run: RunSummary = replace(RUN, job_id=f"job_{n}", features=FOREST, cpu_seconds=1.0, **KIND)
            run = replace(run, finished_at=run.finished_at + timedelta(seconds=n), **changes)
            await self.runs.insert(run)

    async def plan(self, **request: Any) -> Specification:
        return await plan(self.services, JobRequest("ml_training_template", {"dataset_name": "iris"}, **request))


async def test_the_finest_group_is_asked_alone_when_it_has_enough() -> None:
    world = World()
    await world.ran(5)
    found = await world.plan()
    assert world.runs.groups == ["tenant, template, algorithm, dataset"]
    assert found.sizing is not None and found.sizing.runs == 5


async def test_coarser_groups_are_asked_as_far_as_is_needed() -> None:
    world = World()
    await world.ran(5, tenant="other")
    found = await world.plan()
    assert world.runs.groups == [
        "tenant, template, algorithm, dataset", "tenant, template, algorithm", "template, algorithm",
    ]  # fmt: skip
    assert found.sizing is not None and found.sizing.group == "template, algorithm"


async def test_nothing_is_read_again_for_the_next_job_of_the_kind_asked_or_not() -> None:
    world = World()
    await world.ran(5)
    for resources in (None, {"cpu_cores": 2.0}, {"memory_gb": 4.0}):
        await world.plan(resources=resources)
    assert len(world.runs.groups) == 1


async def test_runs_of_all_tenants_are_read_once_for_all_of_them() -> None:
    world = World()
    for tenant in ("one", "two", "three"):
        await world.plan(tenant=tenant)
    assert world.runs.groups.count("template, algorithm") == world.runs.groups.count("algorithm") == 1
    assert world.runs.groups.count("tenant, template, algorithm, dataset") == 3
