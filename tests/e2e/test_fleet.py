"""A fleet of real workers that the leader starts and ends: a burst makes it grow, silence lets it shrink to nothing, no
run is hurt, and a leader that dies in between makes neither a second fleet nor an orphan."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.clock import SystemClock
from app.domain.nodes import Drain, NodeState
from app.operations.drain import AUTOSCALER
from app.providers.local import FOLDER
from app.providers.records import Records
from app.storage.mongo import Database, connect
from app.storage.nodes import MongoNodeStore
from tests.support.liveness import lives
from tests.support.processes import TENSORFLEET, Api, api, child
from tests.support.wait import until

TYPE = {"cpu_cores": 2, "memory_gb": 4, "storage_gb": 50, "boot_seconds": 2, "price_per_hour": 1.5, "max": 3}
WINDOW = 4.0
DYING = (sys.executable, "-m", "tests.support.dying_leader")


@pytest.fixture
async def fleet_env(env: dict[str, str], tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Settings of a service that starts workers: short windows, and no more than three of them."""
    targets = dict.fromkeys(("urgent", "high", "normal", "low"), 1)
    yield env | {
        "CAPACITY_PROVIDER": "local",
        "NODE_TYPES": json.dumps({"small": TYPE}),
        "CAPACITY_INTERVAL_SECONDS": "0.3",
        "CAPACITY_WINDOW_SECONDS": str(WINDOW),
        "CAPACITY_ARRIVALS_SECONDS": str(WINDOW),
        "WAIT_TARGETS": json.dumps(targets),
        "MAX_CONCURRENT_JOBS": "0",
    }
    for pid in workers(tmp_path).values():
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    await until(lambda: not workers(tmp_path))


@pytest.fixture
async def mongo(mongo_uri: str, database: str) -> AsyncIterator[Database]:
    """The store of the service."""
    handle = connect(mongo_uri, database)
    yield handle
    await handle.close()


def workers(folder: Path) -> dict[str, int]:
    """The process of each worker that was started and lives."""
    return {record.node_id: process.pid for record, process in Records(folder / "data" / FOLDER).alive()}


def a_job(seconds: float, **fields: Any) -> dict[str, Any]:
    resources = {"cpu_cores": 2, "memory_gb": 1, "storage_gb": 1}
    parameters = {"seconds": seconds}
    return {"template": "sleep", "parameters": parameters, "resources": resources, "timeout": 30, **fields}


def started(served: Api) -> int:
    """Workers that this process has started."""
    return served.process.log.read_text().count("fleet.worker_started")


async def nodes(served: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await served.client.get("/api/v1/nodes")).json()["nodes"]
    return found


async def plan(served: Api) -> dict[str, Any]:
    """With nothing present before the first look."""
    answer = await served.client.get("/api/v1/resources/plan")
    found: dict[str, Any] = answer.json() if answer.is_success else {"present": []}
    return found


async def submit(served: Api, count: int, seconds: float, **fields: Any) -> list[str]:
    answers = await asyncio.gather(*(served.submit(a_job(seconds, **fields)) for _ in range(count)))
    return [answer["job_id"] for answer in answers]


async def unhurt(served: Api, job_ids: list[str]) -> None:
    """Every job was done by its first run."""
    for job in await asyncio.gather(*(served.ended(job_id) for job_id in job_ids)):
        assert (job["status"], job["attempt"], job["run_no"]) == ("COMPLETED", 1, 1), job["history"]
        assert [entry["to"] for entry in job["history"]][-3:] == ["SCHEDULED", "RUNNING", "COMPLETED"]


async def shrinks_to_nothing(served: Api, folder: Path) -> None:
    async def nobody() -> bool:
        return not workers(folder) and not await nodes(served)

    await until(nobody, 150, every=0.2)


async def test_a_burst_makes_the_fleet_grow_and_silence_lets_it_shrink_and_no_run_is_hurt(
    tmp_path: Path, fleet_env: dict[str, str]
) -> None:
    async with api(tmp_path, fleet_env) as served:
        assert await nodes(served) == []
        short = await submit(served, 6, 3.0, executor="inline")
        long = await submit(served, 1, WINDOW + 6)

        async def grown() -> dict[str, Any]:
            found = await plan(served)
            return found if [entry["count"] for entry in found["present"]] == [3] else {}

        assert (await until(grown, 120, every=0.2))["cost_per_hour"]["present"] == 4.5
        assert {n["labels"]["node_type"] for n in await nodes(served)} == {"small"}
        assert {n["total"]["cpu_cores"] for n in await nodes(served)} == {2}
        metrics = (await served.client.get("/metrics")).text
        assert 'tensorfleet_capacity_nodes{state="present",type="small"}' in metrics
        await unhurt(served, short)

        async def smaller() -> bool:
            return len(workers(tmp_path)) < 3

        await until(smaller, 120, every=0.1)
        await unhurt(served, long)
        await shrinks_to_nothing(served, tmp_path)
        assert [entry["count"] for entry in (await plan(served))["desired"]] == [0]


@pytest.mark.parametrize("step", ["capacity_asked", pytest.param("capacity_intended", marks=pytest.mark.slow)])
async def test_a_leader_that_dies_between_intent_and_note_makes_one_fleet_and_no_orphan(
    tmp_path: Path, fleet_env: dict[str, str], step: str
) -> None:
    async with api(tmp_path, fleet_env, *DYING, step) as dying:
        job_ids = await submit(dying, 1, 1.0, executor="inline")
        await until(lambda: not dying.process.alive, 120, every=0.05)
    assert len(workers(tmp_path)) == started(dying) == (2 if step == "capacity_asked" else 0), "a slot, a tenth more"
    async with api(tmp_path, fleet_env) as served:
        await unhurt(served, job_ids)
        assert started(dying) + started(served) == 2, "those of the dead leader are found again, not replaced"
        await shrinks_to_nothing(served, tmp_path)


async def drains_with_a_run(served: Api, mongo: Database, job_id: str) -> str:
    """The node of the job, once it runs and the fleet has given the node up, as it does when others are enough."""

    async def at() -> str | None:
        job = await served.job(job_id)
        return job["node_id"] if job["status"] == "RUNNING" else None

    node_id = await until(at, 120, every=0.1)
    assert node_id is not None
    now = SystemClock().now()
    wish = Drain(AUTOSCALER, "not needed at present", now, patient=True)
    node = await MongoNodeStore(mongo).set_drain(node_id, wish, now, patiently=True)
    assert node is not None and node.state is NodeState.DRAINING and node.allocations
    return node_id


@pytest.mark.slow
async def test_a_service_that_is_killed_while_a_node_drains_hurts_no_run(
    tmp_path: Path, fleet_env: dict[str, str], mongo: Database
) -> None:
    async with api(tmp_path, fleet_env) as served:
        job_ids = await submit(served, 1, 12.0)
        node_id = await drains_with_a_run(served, mongo, job_ids[0])
        await served.process.kill()
    assert node_id in workers(tmp_path)
    async with api(tmp_path, fleet_env) as served:
        await unhurt(served, job_ids)
        await shrinks_to_nothing(served, tmp_path)


@pytest.mark.slow
async def test_the_run_of_a_worker_that_is_killed_while_it_drains_is_done_by_another(
    tmp_path: Path, fleet_env: dict[str, str], mongo: Database
) -> None:
    """Its node is gone as was wanted, and the loss uses no attempt."""
    lease = {"LEASE_SECONDS": "6", "LEASE_BEAT_SECONDS": "1", "LEASE_MARGIN_SECONDS": "2"}
    async with api(tmp_path, fleet_env | lease) as served:
        [job_id] = await submit(served, 1, 6.0)
        node_id = await drains_with_a_run(served, mongo, job_id)
        os.kill(workers(tmp_path)[node_id], signal.SIGKILL)
        job = await served.ended(job_id)
        assert (job["status"], job["attempt"], job["run_no"]) == ("COMPLETED", 1, 2), job["history"]
        assert job["attempts"][0]["outcome"] == "worker_lost"
        await shrinks_to_nothing(served, tmp_path)


@pytest.mark.slow
async def test_workers_outlive_a_restart_of_the_service_and_are_ended_after_it(
    tmp_path: Path, fleet_env: dict[str, str]
) -> None:
    async with api(tmp_path, fleet_env) as served:
        job_ids = await submit(served, 1, 12.0)

        async def runs() -> bool:
            return (await served.job(job_ids[0]))["status"] == "RUNNING"

        await until(runs, 120, every=0.1)
        before = workers(tmp_path)
        await served.process.stop()
    assert workers(tmp_path) == before
    async with api(tmp_path, fleet_env) as served:
        await unhurt(served, job_ids)
        await shrinks_to_nothing(served, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
async def test_the_fleet_of_a_dev_ends_with_it(tmp_path: Path, ending: signal.Signals) -> None:
    """However it ends: its stores end as well."""
    types = json.dumps({"small": {**TYPE, "min": 1}})
    env = {"CAPACITY_PROVIDER": "local", "NODE_TYPES": types, "CAPACITY_INTERVAL_SECONDS": "0.3"}
    folder = str(tmp_path / "data")
    async with child(tmp_path, env, sys.executable, TENSORFLEET, "dev", "--port", "0", "--data-dir", folder) as dev:
        await until(lambda: workers(tmp_path), 90, every=0.1)
        [pid] = workers(tmp_path).values()
        await until((tmp_path / "data" / "nodes" / "local-small-1" / "identity").exists, 60, every=0.1)
        dev.process.send_signal(ending)
        await asyncio.wait_for(dev.process.wait(), 60)
        await until(lambda: not lives(pid), every=0.1)
