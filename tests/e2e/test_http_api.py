"""The whole API process over real MongoDB and Valkey: what was answered is stored, and what is stored is pushed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from app.api.schemas.jobs import Job, JobList, QueuePage
from app.config import load_settings
from app.main import Process, build
from tests.support.wait import until
from tests.unit.api.harness import frames, take
from tests.unit.api.shapes import assert_shape

JOBS = "/api/v1/jobs"


@asynccontextmanager
async def serving(mongo_uri: str, redis_url: str, database: str) -> AsyncIterator[httpx.AsyncClient]:
    """An API process on a free port; its scheduler runs, but no node does."""
    environ = {"MONGODB_URI": mongo_uri, "REDIS_URL": redis_url, "MONGODB_DATABASE": database}
    process = Process()
    app = build(load_settings(environ), process)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started or task.done())
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        process.close_streams()
        server.should_exit = True
        await task


@pytest.fixture
async def client(mongo_uri: str, redis_url: str, database: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(mongo_uri, redis_url, database) as running:
        yield running


async def submit(client: httpx.AsyncClient, **fields: object) -> str:
    answer = await client.post(JOBS, json={"template": "noop", **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


async def test_a_job_is_stored_queued_listed_and_pushed(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/api/v1/events", params={"types": "job.state"}) as response:
        stream = frames(response)
        [opening] = await take(stream, 1)
        job_id = await submit(client, tags=["mine"], priority="high")
        [event] = await take(stream, 1)
    data = json.loads(event.data)
    assert (data["job_id"], data["from"], data["to"], data["seq"]) == (job_id, None, "QUEUED", 1)
    job = (await client.get(f"{JOBS}/{job_id}")).json()
    assert_shape(job, Job)
    listing = (await client.get(JOBS, params={"tag": "mine", "include": "total"})).json()
    assert_shape(listing, JobList)
    assert (listing["total"], listing["jobs"][0]["job_id"]) == (1, job_id)

    async def waiting() -> list[str]:
        queue = (await client.get("/api/v1/queue")).json()
        assert_shape(queue, QueuePage)
        return [j["job_id"] for j in queue["jobs"]]

    assert await until(waiting) == [job_id]
    status = (await client.get("/api/v1/queue/status")).json()
    assert (status["queue_length"], status["queues"]["high"]["length"]) == (1, 1)
    async with client.stream("GET", "/api/v1/events", headers={"Last-Event-ID": opening.id or ""}) as response:
        [again] = await take(frames(response), 1)
    assert (again.id, again.data) == (event.id, event.data)


async def test_a_waiting_job_says_that_there_is_no_worker(client: httpx.AsyncClient) -> None:
    job_id = await submit(client)

    async def codes() -> bool:
        job = (await client.get(f"{JOBS}/{job_id}")).json()
        return "no_workers" in [r["code"] for r in job["wait_reasons"]] and job["queue_position"] == 1

    await until(codes)


async def test_a_cancelled_parent_ends_its_child_and_both_are_pushed(client: httpx.AsyncClient) -> None:
    parent = await submit(client)
    child = await submit(client, dependencies=[parent])
    async with client.stream("GET", f"{JOBS}/{child}/events") as response:
        stream = frames(response)
        await take(stream, 1)
        await client.delete(f"{JOBS}/{parent}", params={"reason": "wrong data"})
        [ended] = [frame async for frame in stream]
    data = json.loads(ended.data)
    assert (data["to"], data["reason"], data["detail"]) == ("FAILED", "dependency_failed", parent)


async def test_a_key_survives_the_process(mongo_uri: str, redis_url: str, database: str) -> None:
    headers, body = {"Idempotency-Key": "k"}, {"template": "noop"}
    async with serving(mongo_uri, redis_url, database) as client:
        first = await client.post(JOBS, json=body, headers=headers)
    async with serving(mongo_uri, redis_url, database) as client:
        again = await client.post(JOBS, json=body, headers=headers)
        assert again.content == first.content
        assert (await client.get(JOBS, params={"include": "total"})).json()["total"] == 1


async def test_concurrent_submits_under_one_key_make_one_job(client: httpx.AsyncClient) -> None:
    headers, body = {"Idempotency-Key": "k"}, {"template": "noop"}
    answers = await asyncio.gather(*(client.post(JOBS, json=body, headers=headers) for _ in range(12)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert (await client.get(JOBS, params={"include": "total"})).json()["total"] == 1


async def test_a_listing_pages_over_the_real_store(client: httpx.AsyncClient) -> None:
    made = [await submit(client) for _ in range(5)]
    first = (await client.get(JOBS, params={"limit": 3})).json()
    rest = (await client.get(JOBS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert {j["job_id"] for j in first["jobs"] + rest["jobs"]} == set(made)
    assert rest["next_cursor"] is None


async def test_an_event_resumes_on_another_process(mongo_uri: str, redis_url: str, database: str) -> None:
    async with (
        serving(mongo_uri, redis_url, database) as one,
        serving(mongo_uri, redis_url, database) as two,
    ):
        async with one.stream("GET", "/api/v1/events", params={"types": "job.state"}) as response:
            stream = frames(response)
            await take(stream, 1)
            first, second = await submit(one), await submit(two)
            seen = await take(stream, 2)
        assert {json.loads(f.data)["job_id"] for f in seen} == {first, second}
        params, headers = {"types": "job.state"}, {"Last-Event-ID": seen[0].id or ""}
        async with two.stream("GET", "/api/v1/events", params=params, headers=headers) as response:
            [after] = await take(frames(response), 1)
        assert (after.id, after.data) == (seen[1].id, seen[1].data)


async def test_the_process_says_that_it_is_ready_and_measured(client: httpx.AsyncClient) -> None:
    async def leading() -> bool:
        checks = (await client.get("/readyz")).json()["checks"]
        return str(checks["scheduler"]).startswith("ok: leading")

    await until(leading)
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["feed"]) == (200, "ok: watch")
    text = (await client.get("/metrics")).text
    assert "tensorfleet_scheduler_leader 1.0" in text
