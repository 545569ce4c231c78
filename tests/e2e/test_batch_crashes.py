"""The API is killed between any two writes of a batch, and in the middle of an advance; another process looks on.

Each protection has its negative control: without it the same crash does the harm.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import Api, api
from tests.support.wait import until

DOCTORED = (sys.executable, "-m", "tests.chaos.doctored")
SIZE = 2_000
JOBS = [{"template": "noop", "parameters": {}}] * SIZE
KEY = {"Idempotency-Key": "night-7"}
LATER = "2099-01-01T00:00:00Z"


@asynccontextmanager
async def doctored(folder: Path, env: Mapping[str, str], *changes: str) -> AsyncIterator[Api]:
    async with api(folder, dict(env), *DOCTORED, *changes, "serve") as served:
        yield served


async def send_and_lose(folder: Path, env: Mapping[str, str], point: str) -> None:
    """The batch goes to an API that is killed at this point of it."""
    async with doctored(folder, env, f"--fault=dies_in_batch:{point}") as served:
        with pytest.raises(httpx.TransportError):
            await served.client.post("/api/v1/jobs/batch", json={"jobs": JOBS}, headers=KEY)
        await served.process.process.wait()


async def seen(served: Api) -> tuple[int, int]:
    """How many batches and how many jobs another process shows."""
    batches = (await served.client.get("/api/v1/batches")).json()["batches"]
    shown, params = 0, {"limit": 500}
    while True:
        page = (await served.client.get("/api/v1/jobs", params=params)).json()
        shown += len(page["jobs"])
        if page["next_cursor"] is None:
            return len(batches), shown
        params = {"limit": 500, "cursor": page["next_cursor"]}


async def resent(served: Api) -> dict[str, Any]:
    answer = await served.client.post("/api/v1/jobs/batch", json={"jobs": JOBS}, headers=KEY)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("point", ["parts", "record", "copy", "whole"])
async def test_all_or_nothing_is_seen_and_the_key_gives_one_batch(
    tmp_path: Path, env: dict[str, str], point: str
) -> None:
    async with api(tmp_path, env) as served:
        await send_and_lose(tmp_path, env, point)
        assert await seen(served) == ((1, SIZE) if point == "whole" else (0, 0))
        first = await resent(served)
        assert await seen(served) == (1, SIZE)
        assert (await resent(served))["job_ids"] == first["job_ids"]
        batch = (await served.client.get(f"/api/v1/batches/{first['batch_id']}")).json()
        assert (batch["counts"]["total"], batch["counts"]["queued"]) == (SIZE, SIZE)

        async def waits_whole() -> bool:
            return bool((await served.client.get("/api/v1/queue/status")).json()["queue_length"] == SIZE)

        await until(waits_whole, every=0.1)


async def test_a_batch_for_which_nobody_comes_back_is_finished(tmp_path: Path, env: dict[str, str]) -> None:
    async with api(tmp_path, env) as served:
        await send_and_lose(tmp_path, env, "copy")
        assert await seen(served) == (0, 0)

        async def whole() -> bool:
            return await seen(served) == (1, SIZE)

        await until(whole, 120, every=0.5)


async def test_without_its_protection_a_part_of_a_batch_is_seen(tmp_path: Path, env: dict[str, str]) -> None:
    async with doctored(tmp_path, env, "--without=whole_batches") as served:
        await send_and_lose(tmp_path, env, "copy")
        _, jobs = await seen(served)
        assert 0 < jobs < SIZE


async def chain(served: Api, length: int) -> list[str]:
    """Jobs that wait for each other, the first of which waits for its time."""
    ids = [(await served.submit({"template": "noop", "start_after": LATER}))["job_id"]]
    for _ in range(length):
        ids.append((await served.submit({"template": "noop", "dependencies": [ids[-1]]}))["job_id"])
    return ids


async def cut_off(tmp_path: Path, env: dict[str, str], length: int, generations: int) -> list[str]:
    """A chain whose first is cancelled by an API that is killed when it has ended so many of those that follow. Its
    reconciler may have overtaken the request, which is answered then."""
    async with doctored(tmp_path, env, f"--fault=dies_in_advance:{generations}") as served:
        ids = await chain(served, length)
        with suppress(httpx.TransportError):
            await served.client.post(f"/api/v1/jobs/{ids[0]}/cancel")
        await served.process.process.wait()
    return ids


async def ends(served: Api, ids: list[str]) -> list[tuple[str, str | None]]:
    jobs = [await served.job(job_id) for job_id in ids]
    return [(job["status"], job["history"][-1]["detail"]) for job in jobs]


async def test_an_advance_that_was_cut_off_is_taken_up(tmp_path: Path, env: dict[str, str]) -> None:
    ids = await cut_off(tmp_path, env, 40, 12)
    async with api(tmp_path, env) as served:

        async def all_ended() -> bool:
            return {status for status, _ in await ends(served, ids[1:])} == {"FAILED"}

        await until(all_ended, 120, every=0.3)
        assert {cause for _, cause in await ends(served, ids[1:])} == {ids[0]}


async def test_without_the_reconciler_it_stays_where_it_was_cut_off(tmp_path: Path, env: dict[str, str]) -> None:
    ids = await cut_off(tmp_path, env, 40, 12)
    async with doctored(tmp_path, env, "--without=promotion") as served:
        looked = (await served.client.get("/readyz")).json()["detail"]["scheduler"]["seconds_since"]

        async def reconciled() -> bool:
            found = (await served.client.get("/readyz")).json()["detail"]["scheduler"]["seconds_since"]
            return found["scheduler.reconciler"] is not None and found["scheduler.timers"] is not None

        assert looked is not None
        await until(reconciled, every=0.2)
        statuses = [status for status, _ in await ends(served, ids[1:])]
        assert set(statuses) == {"FAILED", "SUBMITTED"}
        assert statuses == sorted(statuses), "the first ones ended, the others do not know"
