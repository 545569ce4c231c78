"""Every reason why a job waits, produced on a live service; and when what it names is changed, that job starts."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.processes import Api, api, worker
from tests.support.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SMALL = {"cpu_cores": 1, "memory_gb": 1, "storage_gb": 0}
WHOLE = {"cpu_cores": 4, "memory_gb": 1, "storage_gb": 0}
NOBODY = "nobody"
"""A tenant that may run nothing."""
OPEN = ["SUBMITTED", "QUEUED", "SCHEDULED", "RUNNING", "PAUSED", "RETRYING"]
Http = httpx.AsyncClient
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reasons")


@pytest.fixture(scope="module")
def env(home: Path, servers: Endpoints) -> dict[str, str]:
    found = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"reasons_{os.getpid()}", home)
    return found | {
        "NODE_CPU_CORES": "4",
        "NODE_GPU_COUNT": "0",
        "MAX_CONCURRENT_JOBS": "6",
        "TENANT_HEADER": "X-Tenant",
        "TENANT_QUOTAS": '{"nobody": {"running": 0}}',
        "CONCURRENCY_LIMITS": '{"licence": 1}',
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, env: dict[str, str]) -> AsyncIterator[Api]:
    async with api(home, env) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def http(served: Api) -> AsyncIterator[Http]:
    async with Http(base_url=f"{served.url}/api/v1", trust_env=False, timeout=30) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(home: Path, env: dict[str, str], served: Api) -> AsyncIterator[None]:
    """A worker with four cores, for the tests that need no more."""
    async with worker(home, env, served):
        yield


async def submitted(http: Http, seconds: float = 0, tenant: str = "default", **fields: Any) -> str:
    body = {"template": "sleep", "executor": "inline", "parameters": {"seconds": seconds}, "resources": SMALL, **fields}
    answer = await http.post("/jobs", json=body, headers={"X-Tenant": tenant})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def explained(http: Http, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/jobs/{job_id}/explain")).json()
    return found


async def waits_for(http: Http, job_id: str, code: str) -> dict[str, Any]:
    """Both the job and its explanation say so; answers the reason."""

    async def said() -> dict[str, Any] | None:
        job = (await http.get(f"/jobs/{job_id}")).json()
        reasons = (await explained(http, job_id))["reasons"]
        same = job["wait_reason"] and job["wait_reason"]["code"] == code
        return reasons[0] if same and reasons and reasons[0]["code"] == code else None

    found = await until(said, every=0.1, message=f"{job_id} to wait for {code}")
    assert found is not None
    return found


async def starts(http: Http, job_id: str) -> None:
    async def begun() -> bool:
        return (await http.get(f"/jobs/{job_id}")).json()["started_at"] is not None

    await until(begun, every=0.05, message=f"{job_id} to start")


async def cleared(http: Http) -> None:
    """Nothing waits or runs any more: all that is open is cancelled, again as long as something is."""

    async def empty() -> bool:
        answer = await http.post("/jobs/cancel", json={"status": OPEN, "reason": "cleared"})
        assert answer.status_code == 200, answer.text
        left = (await http.get("/jobs", params={"status": OPEN})).json()["jobs"]
        log.info("cleared: %s", [(job["job_id"], job["status"], job["wait_reason"]) for job in left])
        return not left

    await until(empty, every=0.2, message="nothing to wait or run")


async def test_without_a_node_it_is_no_workers_and_a_node_helps(
    http: Http, home: Path, env: dict[str, str], served: Api
) -> None:
    job_id = await submitted(http)
    await waits_for(http, job_id, "no_workers")
    async with worker(home, env, served):
        await starts(http, job_id)


async def test_a_label_that_no_node_has_and_one_that_brings_it(
    http: Http, home: Path, env: dict[str, str], served: Api
) -> None:
    async with worker(home, env, served):
        job_id = await submitted(http, node_selector={"disk": "ssd"})
        reason = await waits_for(http, job_id, "node_selector")
        assert reason["facts"]["matching"] == 0
    async with worker(home, env | {"NODE_LABELS": "disk=ssd"}, served):
        await starts(http, job_id)


Change = Callable[[Http, str, str], Awaitable[Any]]


async def _full(http: Http) -> str:
    """A node that is full."""
    job_id = await submitted(http, 300, resources=WHOLE)
    await starts(http, job_id)
    return job_id


async def _paused(http: Http) -> str:
    await http.post("/queue/pause", json={"reason": "new storage"})
    return ""


async def _end(http: Http, _: str, other: str) -> Any:
    return await http.post(f"/jobs/{other}/cancel")


async def _resume(http: Http, _: str, __: str) -> Any:
    return await http.post("/queue/resume")


async def _let_go(http: Http, job_id: str, _: str) -> Any:
    return await http.post(f"/jobs/{job_id}/resume")


async def _licensed(http: Http) -> str:
    job_id = await submitted(http, 300, limits=["licence"])
    await starts(http, job_id)
    return job_id


async def _crowd(http: Http) -> str:
    """All six slots taken by what needs nearly nothing."""
    ids = [await submitted(http, 300, resources={**SMALL, "cpu_cores": 0.1}) for _ in range(6)]
    for job_id in ids:
        await starts(http, job_id)
    return ids[0]


@pytest.mark.parametrize(
    ("code", "arrange", "fields", "change"),
    [
        ("resources", _full, {}, _end),
        ("queue_paused", _paused, {}, _resume),
        ("concurrency_limit", _crowd, {}, _end),
        ("concurrency_limit", _licensed, {"limits": ["licence"]}, _end),
    ],
    ids=["resources", "queue_paused", "slots", "licence"],
)
async def test_a_reason_and_what_ends_it(
    http: Http,
    node: None,
    code: str,
    arrange: Callable[[Http], Awaitable[str]],
    fields: dict[str, Any],
    change: Change,
) -> None:
    other = await arrange(http)
    job_id = await submitted(http, **fields)
    reason = await waits_for(http, job_id, code)
    assert reason["summary"]
    assert reason["remedies"]
    await change(http, job_id, other)
    await starts(http, job_id)
    await cleared(http)


async def test_room_that_is_promised_to_another(http: Http, node: None) -> None:
    """Three of four cores are taken; a job that needs all four has the promise, and a long one may not slip in."""
    three = await submitted(http, 300, resources={**SMALL, "cpu_cores": 3}, timeout=400)
    await starts(http, three)
    whole = await submitted(http, 0, resources=WHOLE, timeout=400)
    await waits_for(http, whole, "resources")
    late = await submitted(http, 0, timeout=86_400)
    reason = await waits_for(http, late, "behind_reservation")
    promised = (await http.get(f"/jobs/{whole}")).json()["reserved"]

    assert reason["facts"]["job"] == whole
    assert promised["node_id"] == "node-1"
    await http.post(f"/jobs/{whole}/cancel")
    await starts(http, late)
    await cleared(http)


async def test_a_quota_and_a_hold_and_a_start_time_and_a_parent(http: Http, node: None) -> None:
    over = await submitted(http, tenant=NOBODY)
    assert (await waits_for(http, over, "quota"))["facts"]["limit"] == 0
    later = await submitted(http, start_after="2099-01-01T00:00:00Z")
    await waits_for(http, later, "start_time")
    parent = await _full(http)
    child = await submitted(http, dependencies=[parent])
    await waits_for(http, child, "dependencies")
    held = await submitted(http)
    await http.post(f"/jobs/{held}/pause", json={"reason": "a trial"})
    await waits_for(http, held, "held")
    await _let_go(http, held, parent)
    assert (await waits_for(http, held, "fair_share"))["facts"]["before"] == NOBODY
    await http.post(f"/jobs/{over}/cancel")
    await waits_for(http, held, "resources")
    await _end(http, "", parent)
    await starts(http, held)
    await cleared(http)
