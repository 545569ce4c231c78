"""The order of the queue, on real processes: what is listed is what starts, whoever changed it meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
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
CLASSES = ("urgent", "high", "normal", "low")
CLIENTS, EACH = 4, 25


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("order")


@pytest.fixture(scope="module")
def env(home: Path, servers: Endpoints) -> dict[str, str]:
    """One slot, so that jobs start one after the other."""
    found = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"order_{os.getpid()}", home)
    return found | {"MAX_CONCURRENT_JOBS": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, env: dict[str, str]) -> AsyncIterator[Api]:
    async with api(home, env) as found, worker(home, env, found):
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def http(served: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{served.url}/api/v1", trust_env=False, timeout=30) as found:
        yield found


async def submitted(http: httpx.AsyncClient, **fields: Any) -> str:
    answer = await http.post("/jobs", json={"template": "noop", "executor": "inline", **fields})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def listed(http: httpx.AsyncClient, limit: int = 30) -> list[str]:
    """The whole queue, page by page."""
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/queue", params={"limit": str(limit), **cursor})).json()
        ids += [job["job_id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            return ids
        cursor = {"cursor": page["next_cursor"]}


async def lists(http: httpx.AsyncClient, *order: str) -> None:
    """The index may learn of a change a moment after its answer."""

    async def so() -> bool:
        return await listed(http) == [*order]

    await until(so, every=0.1)


async def a_client(http: httpx.AsyncClient, seed: int) -> None:
    """Submits, and moves what it has submitted about."""
    chance = random.Random(seed)
    mine: list[str] = []
    for _ in range(EACH):
        mine.append(await submitted(http, priority=chance.choice(CLASSES)))
        job_id, what = chance.choice(mine), chance.random()
        if what < 0.4:
            body = {"job_id": job_id, "new_position": chance.randint(1, 3), "reason": "a trial"}
            assert (await http.post("/queue/reorder", json=body)).status_code in (200, 409, 422)
        elif what < 0.7:
            body = {"priority": chance.choice(CLASSES), "reason": "a trial"}
            assert (await http.put(f"/jobs/{job_id}/priority", json=body)).status_code == 200


async def test_jobs_start_exactly_in_the_order_that_is_listed(http: httpx.AsyncClient) -> None:
    assert (await http.post("/queue/pause", json={"reason": "the order is arranged"})).status_code == 200
    await asyncio.gather(*(a_client(http, seed) for seed in range(CLIENTS)))

    async def whole() -> list[str]:
        found = await listed(http)
        return found if len(found) == CLIENTS * EACH else []

    order = await until(whole, every=0.1)
    one = (await http.get(f"/jobs/{order[0]}")).json()
    assert len(set(order)) == CLIENTS * EACH
    assert one["queue_position"] == 1
    assert one["wait_reason"]["code"] == "queue_paused"
    assert (await http.post("/queue/resume")).status_code == 200

    async def all_ended() -> bool:
        return not await listed(http) and (await http.get("/queue/status")).json()["running_jobs"] == 0

    await until(all_ended, 150, every=0.1)
    jobs = await asyncio.gather(*(http.get(f"/jobs/{job_id}") for job_id in order))
    starts = {job["job_id"]: job["started_at"] for job in (answer.json() for answer in jobs)}
    assert sorted(order, key=lambda job_id: starts[job_id]) == order


async def test_a_reorder_is_tried_first_and_then_done(http: httpx.AsyncClient) -> None:
    await http.post("/queue/pause")
    first, second, third = [await submitted(http) for _ in range(3)]
    body = {"job_id": third, "new_position": 1, "reason": "Critical production fix"}

    await lists(http, first, second, third)
    told = (await http.post("/queue/reorder", params={"dry_run": "true"}, json=body)).json()
    assert [job["job_id"] for job in told["pushed_back"]] == [first, second]
    assert await listed(http) == [first, second, third]
    assert (await http.post("/queue/reorder", json=body)).status_code == 200
    await lists(http, third, first, second)
    history = (await http.get(f"/jobs/{third}")).json()["history"]
    assert [(e["reason"], e["detail"]) for e in history][-1] == ("reordered", "Critical production fix")
    for job_id in (first, second, third):
        await http.post(f"/jobs/{job_id}/cancel")
    await http.post("/queue/resume")


@pytest.mark.parametrize("position", [0, 99])
async def test_a_position_that_is_not_there_is_refused_with_what_is(http: httpx.AsyncClient, position: int) -> None:
    await http.post("/queue/pause")
    job_id = await submitted(http)
    answer = await http.post("/queue/reorder", json={"job_id": job_id, "new_position": position})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "new_position"
    await http.post(f"/jobs/{job_id}/cancel")
    gone = await http.post("/queue/reorder", json={"job_id": job_id, "new_position": 1})
    assert (gone.status_code, gone.json()["current"]) == (409, "CANCELLED")
    await http.post("/queue/resume")
