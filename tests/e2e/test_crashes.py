"""Crashes from outside: the API killed between write and answer, Redis emptied, Redis restarted empty.

Each protection has its negative control: the same crash without it does the harm.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.dev.valkey import Valkey
from tests.support.gates import until_there
from tests.support.ports import own_port
from tests.support.processes import Api, api, worker
from tests.support.wait import until

NOOP = {"template": "noop", "executor": "inline"}
DYING = (sys.executable, "-m", "tests.support.dying_api")
WITHOUT_REPAIR = (sys.executable, "-m", "tests.chaos.doctored", "--without=index_repair", "serve")


async def send_to_a_dying_api(folder: Path, env: dict[str, str], headers: dict[str, str]) -> None:
    async with api(folder, env, *DYING) as served:
        with pytest.raises(httpx.TransportError):
            await served.client.post("/api/v1/jobs", json=NOOP, headers=headers)
        await served.process.process.wait()


async def all_jobs(served: Api) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = (await served.client.get("/api/v1/jobs", params={"limit": 500})).json()["jobs"]
    return jobs


async def test_a_key_makes_one_job_of_a_submit_whose_answer_was_lost(tmp_path: Path, env: dict[str, str]) -> None:
    headers = {"Idempotency-Key": "key-1"}
    for _ in range(2):
        await send_to_a_dying_api(tmp_path, env, headers)
    async with api(tmp_path, env) as served:
        first = await served.submit(NOOP, **headers)
        again = await served.submit(NOOP, **headers)
        assert again == first
        assert [j["job_id"] for j in await all_jobs(served)] == [first["job_id"]]


async def test_the_keys_of_a_killed_api_are_answered_at_once(tmp_path: Path, env: dict[str, str]) -> None:
    """Killed with many of them on their way: what it leaves keeps nobody from a key."""
    keys = [{"Idempotency-Key": f"key-{n}"} for n in range(60)]
    async with api(tmp_path, env) as served:
        sent = [asyncio.ensure_future(served.submit(NOOP, **key)) for key in keys]
        await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        await served.process.kill()
        await asyncio.gather(*sent, return_exceptions=True)
    async with api(tmp_path, env) as served:
        began = time.monotonic()
        first = await asyncio.gather(*(served.submit(NOOP, **key) for key in keys))
        assert time.monotonic() - began < 30
        assert await asyncio.gather(*(served.submit(NOOP, **key) for key in keys)) == first
        assert {j["job_id"] for j in await all_jobs(served)} == {answer["job_id"] for answer in first}


async def test_without_a_key_the_same_crash_makes_two_jobs(tmp_path: Path, env: dict[str, str]) -> None:
    await send_to_a_dying_api(tmp_path, env, {})
    async with api(tmp_path, env) as served:
        await served.submit(NOOP)
        assert len(await all_jobs(served)) == 2


async def wait_index(served: Api, length: int, timeout: float = 60) -> None:
    async def whole() -> bool:
        waiting = (await served.client.get("/api/v1/queue", params={"limit": 500})).json()["jobs"]
        return len(waiting) >= min(length, 500)

    await until(whole, timeout, every=0.1)


async def submit_many(served: Api, count: int) -> list[str]:
    answers = await asyncio.gather(*(served.submit(NOOP) for _ in range(count)))
    return [a["job_id"] for a in answers]


async def test_flushall_while_live_loses_nothing(tmp_path: Path, env: dict[str, str], redis_url: str) -> None:
    async with api(tmp_path, {**env, "MAX_CONCURRENT_JOBS": "200"}) as served:
        for _ in range(3):
            await submit_many(served, 100)
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        await wait_index(served, 300)
        async with worker(tmp_path, env, served):

            async def done() -> bool:
                page = await served.client.get(
                    "/api/v1/jobs", params={"status": "COMPLETED", "include": "total", "limit": 1}
                )
                return bool(page.json()["total"] == 300)

            await until(done, 150, every=0.2)
        runs = [j["run_no"] for j in await all_jobs(served)]
        assert set(runs) == {1}


async def test_without_its_repair_a_flushed_index_stays_empty(
    tmp_path: Path, env: dict[str, str], redis_url: str
) -> None:
    async with api(tmp_path, env, *WITHOUT_REPAIR) as served:
        job_id = (await served.submit(NOOP))["job_id"]
        await wait_index(served, 1)
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        async with worker(tmp_path, env, served):
            with pytest.raises(AssertionError):
                await served.ended(job_id, timeout=4)
            assert (await served.job(job_id))["status"] == "QUEUED"


async def test_submits_are_accepted_without_redis_and_run_when_it_is_back(tmp_path: Path, env: dict[str, str]) -> None:
    port = own_port()
    before = Valkey(tmp_path / "valkey", port)
    await before.start()
    env = {**env, "REDIS_URL": before.url}
    async with api(tmp_path, env) as served, worker(tmp_path, env, served) as node:
        assert (await served.ended((await served.submit(NOOP))["job_id"]))["status"] == "COMPLETED"
        before.kill()
        await before.done.wait()
        held = (await served.submit({"template": "sleep", "parameters": {"seconds": 0.1}}))["job_id"]
        job = await served.job(held)
        assert job["status"] == "QUEUED"
        assert job["wait_reasons"]
        after = Valkey(tmp_path / "valkey-again", port)
        await after.start()
        try:
            assert (await served.ended(held))["status"] == "COMPLETED"
            assert node.alive
        finally:
            await after.stop()
    await before.stop()


async def test_submits_answer_while_redis_is_silent_and_run_when_it_speaks(tmp_path: Path, env: dict[str, str]) -> None:
    """Silent is worse than away: every connection stands, and nothing is answered."""
    server = Valkey(tmp_path / "valkey", own_port())
    await server.start()
    env = {**env, "REDIS_URL": server.url}
    async with api(tmp_path, env) as served, worker(tmp_path, env, served):
        async with Redis.from_url(server.url) as redis:
            pid = int((await redis.info("server"))["process_id"])
        lasting = {"template": "command", "parameters": {"command": until_there(tmp_path / "go")}}
        running = (await served.submit(lasting))["job_id"]
        await until(lambda: _has_status(served, running, "RUNNING"), every=0.05)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            held = await submit_many(served, 20)
            assert time.monotonic() - began < 15
            (tmp_path / "go").touch()
            assert (await served.ended(running))["status"] == "COMPLETED"
        finally:
            os.kill(pid, signal.SIGCONT)
        for job_id in held:
            assert (await served.ended(job_id))["status"] == "COMPLETED"
    await server.stop()


async def _has_status(served: Api, job_id: str, status: str) -> bool:
    return bool((await served.job(job_id))["status"] == status)
