"""Controls over HTTP on real processes: what is asked of a run happens to its processes, and its state says so."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.client import AsyncClient
from app.dev.embedded import Endpoints
from app.storage.jobs import MongoJobStore
from app.storage.mongo import connect
from tests.e2e.conftest import settings_of
from tests.support.gates import until_there
from tests.support.processes import Api, api, worker
from tests.support.wait import once_of_three, until
from tests.unit.domain.builders import a_job

pytestmark = pytest.mark.asyncio(loop_scope="module")
TICK = 'while :; do echo tick >> "$0"; sleep 0.05; done'
MANY = 10_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("controls")


@pytest.fixture(scope="module")
def env(home: Path, servers: Endpoints) -> dict[str, str]:
    return settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"controls_{os.getpid()}", home)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, env: dict[str, str]) -> AsyncIterator[Api]:
    async with api(home, env) as found, worker(home, env, found):
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: Api) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(served.url) as found:
        yield found


def a_command(*argv: str, **fields: Any) -> dict[str, Any]:
    return {"template": "command", "parameters": {"command": list(argv)}, **fields}


async def reached(served: Api, job_id: str, status: str, timeout: float = 60) -> dict[str, Any]:
    async def there() -> dict[str, Any] | None:
        job = await served.job(job_id)
        return job if job["status"] == status else None

    found = await until(there, timeout, every=0.02)
    assert found is not None
    return found


async def ticking(served: Api, home: Path, name: str) -> tuple[str, Path]:
    """A running job that adds to a file as long as its processes go on."""
    ticks = home / name
    job_id = (await served.submit(a_command("sh", "-c", TICK, str(ticks))))["job_id"]
    await reached(served, job_id, "RUNNING")
    await until(lambda: size_of(ticks) > 20)
    return job_id, ticks


def size_of(ticks: Path) -> int:
    return ticks.stat().st_size if ticks.exists() else 0


async def stands(ticks: Path) -> bool:
    """Whether nothing is added for ten times as long as one tick takes."""
    size, deadline = size_of(ticks), time.monotonic() + 0.5
    await until(lambda: time.monotonic() > deadline or size_of(ticks) > size)
    return size_of(ticks) == size


async def test_a_paused_run_stands_still_and_goes_on_where_it_stood(
    served: Api, client: AsyncClient, home: Path
) -> None:
    job_id, ticks = await ticking(served, home, "paused")
    answer = await client.pause(job_id, "the node is needed")
    assert answer["message"]
    paused = await reached(served, job_id, "PAUSED")
    assert (paused["node_id"], paused["paused_from"], paused["control"]) == ("node-1", "RUNNING", None)
    assert (paused["history"][-1]["reason"], paused["history"][-1]["detail"]) == ("paused", "the node is needed")
    assert await stands(ticks)
    await client.resume(job_id)
    running = await reached(served, job_id, "RUNNING")
    assert (running["run_no"], running["attempt"]) == (1, 1)
    size = size_of(ticks)
    await until(lambda: size_of(ticks) > size)
    await client.cancel(job_id, "enough")
    assert (await served.ended(job_id))["history"][-1]["detail"] == "enough"
    assert await stands(ticks)


async def test_a_frozen_run_can_be_cancelled(served: Api, client: AsyncClient, home: Path) -> None:
    job_id, ticks = await ticking(served, home, "frozen")
    await client.pause(job_id)
    await reached(served, job_id, "PAUSED")
    await client.cancel(job_id)
    assert (await served.ended(job_id))["status"] == "CANCELLED"
    assert await stands(ticks)


async def test_a_released_run_frees_its_node_and_runs_again_when_resumed(
    served: Api, client: AsyncClient, home: Path
) -> None:
    job_id, ticks = await ticking(served, home, "released")
    answer = await client.pause(job_id, release=True)
    assert "starts it over" in answer["message"]
    released = await reached(served, job_id, "PAUSED")
    assert (released["node_id"], released["paused_from"]) == (None, "RUNNING")
    assert await stands(ticks)

    async def freed() -> bool:
        [node] = (await served.client.get("/api/v1/nodes")).json()["nodes"]
        return job_id not in [a["job_id"] for a in node["allocations"]]

    await until(freed)
    await client.resume(job_id)
    again = await reached(served, job_id, "RUNNING")
    assert (again["run_no"], again["attempt"]) == (2, 1), "no attempt was used"
    await client.cancel(job_id)
    await served.ended(job_id)


async def test_a_cancel_reaches_a_running_job_within_a_second(served: Api, client: AsyncClient) -> None:
    async def seconds() -> float:
        job_id = (await served.submit({"template": "sleep", "parameters": {"seconds": 600}}))["job_id"]
        await reached(served, job_id, "RUNNING")
        began = time.monotonic()
        await client.cancel(job_id)
        assert (await served.ended(job_id))["status"] == "CANCELLED"
        return time.monotonic() - began

    await once_of_three(seconds, 1.5)


async def test_a_held_job_does_not_start_until_it_is_resumed(served: Api, client: AsyncClient, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    parent = (await served.submit(a_command(*until_there(flag))))["job_id"]
    child = (await served.submit({"template": "noop", "dependencies": [parent]}))["job_id"]
    assert (await client.pause(child))["status"] == "PAUSED"
    flag.touch()
    assert (await served.ended(parent))["status"] == "COMPLETED"
    assert (await served.job(child))["status"] == "PAUSED"
    assert (await client.resume(child))["status"] == "QUEUED"
    assert (await served.ended(child))["status"] == "COMPLETED"


async def test_a_retry_with_other_parameters_mends_a_failed_job(served: Api, client: AsyncClient) -> None:
    job_id = (await served.submit(a_command("sh", "-c", "exit 78")))["job_id"]
    assert (await served.ended(job_id))["status"] == "FAILED"
    again = await client.retry(job_id, "mended", parameters={"command": ["true"]}, resources={"cpu_cores": 2})
    assert (again["status"], again["parameters"]["command"], again["resources"]["cpu_cores"]) == ("QUEUED", ["true"], 2)
    job = await served.ended(job_id)
    assert (job["status"], job["attempt"], job["run_no"]) == ("COMPLETED", 2, 2)
    assert [a["outcome"] for a in job["attempts"]] == ["permanent", "completed"]


async def test_ten_thousand_waiting_jobs_are_cancelled_in_seconds(
    served: Api, client: AsyncClient, env: dict[str, str]
) -> None:
    handle = connect(env["MONGODB_URI"], env["MONGODB_DATABASE"])
    try:
        store = MongoJobStore(handle)
        parent = a_job(eligible=False).held().job
        await store.insert(parent)
        jobs = [a_job(tags=("many",), eligible=False, dependencies=(parent.id,)).job for _ in range(MANY)]
        await asyncio.gather(*(store.insert(job) for job in jobs))
    finally:
        await handle.close()
    began = time.monotonic()
    assert (await client.cancel_jobs(tag="many", dry_run=True))["matched"] == MANY
    counted = time.monotonic()
    done = await client.cancel_jobs("wrong data", tag="many")
    took = time.monotonic() - counted
    assert (done["matched"], done["cancelled"]) == (MANY, MANY)
    assert took < 30, (counted - began, took)
    assert (await client.cancel_jobs(tag="many"))["matched"] == 0


async def test_a_drained_node_takes_nothing_until_it_is_resumed(served: Api, client: AsyncClient) -> None:
    """Last in this file: the node of all tests is drained."""
    assert (await client.drain_node("node-1", "new kernel"))["state"] == "DRAINING"
    job_id = (await served.submit({"template": "noop"}))["job_id"]

    async def explained() -> bool:
        return "no_workers" in [r["code"] for r in (await served.job(job_id))["wait_reasons"]]

    await until(explained, every=0.05)
    assert (await client.resume_node("node-1"))["state"] == "READY"
    assert (await served.ended(job_id))["status"] == "COMPLETED"
