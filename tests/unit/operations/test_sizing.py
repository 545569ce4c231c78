"""Which runs are read for a plan, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.sizing.features import facts_of, features_of
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import PastRun
from app.domain.specification import JobRequest, Specification
from app.operations.plan import plan
from app.operations.sizing import MOST_RUNS
from app.storage.memory.runs import MemoryRunStore
from tests.contract.stores.test_runs import RUN
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.scheduler.builders import a_node

FOREST = features_of({"algorithm": "random_forest"}, facts_of("iris", None))
IRIS = {"dataset_name": "iris"}
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

    async def plan(self, parameters: Mapping[str, Any] = IRIS, **request: Any) -> Specification:
        return await plan(self.services, JobRequest("ml_training_template", parameters, **request))


async def test_a_tenants_own_runs_are_read_alone_when_they_are_enough() -> None:
    world = World()
    await world.ran(5)
    found = await world.plan()
    assert world.runs.groups == ["tenant, template, algorithm"]
    assert found.sizing is not None
    assert (found.sizing.runs, found.sizing.group) == (5, "tenant, template, algorithm, dataset")


async def test_coarser_groups_are_read_as_far_as_is_needed() -> None:
    world = World()
    await world.ran(5, tenant="other")
    found = await world.plan()
    assert world.runs.groups == ["tenant, template, algorithm", "template, algorithm"]
    assert found.sizing is not None and found.sizing.group == "template, algorithm"


async def test_runs_on_the_same_data_are_read_by_themselves_where_there_are_too_many_others() -> None:
    world = World()
    await world.ran(MOST_RUNS, dataset="wine", peak_memory_mib=2_000.0)
    for n in range(5):
        old = replace(RUN, job_id=f"job_old{n}", features=FOREST, cpu_seconds=1.0, peak_memory_mib=400.0, **KIND)
        await world.runs.insert(replace(old, finished_at=old.finished_at - timedelta(days=1)))
    found = await world.plan()
    assert world.runs.groups == ["tenant, template, algorithm", "tenant, template, algorithm, dataset"]
    assert found.sizing is not None and (found.sizing.runs, found.resources.memory_mib) == (5, 512)


async def test_a_job_that_chose_its_nodes_is_sized_within_them() -> None:
    """Else it would wait for cores that none of them has."""
    world = World()
    small = a_node("edge", Vector(2_000, 4_096, 0, 100), labels={"zone": "edge"})
    for node in (small, a_node("large", Vector(64_000, 262_144, 8, 1_000))):
        await world.services.nodes.register(node)
    parameters = {**IRIS, "algorithm": "random_forest"}
    assert (await world.plan(parameters)).resources.cpu_millicores == 8_000
    assert (await world.plan(parameters, node_selector={"zone": "edge"})).resources.cpu_millicores == 2_000
    assert (await world.plan(parameters, node_selector={"zone": "none"})).resources.cpu_millicores == 8_000


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
    assert world.runs.groups.count("tenant, template, algorithm") == 3


async def test_jobs_on_data_that_nobody_has_seen_read_as_much_as_one_of_them() -> None:
    world = World()
    await world.ran(3)
    for n in range(20):
        await world.plan({"dataset_name": f"part-{n}.csv"})
    assert len(world.runs.groups) == 3
