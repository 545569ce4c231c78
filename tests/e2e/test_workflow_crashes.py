"""Workflows whose processes die between two writes; of deaths at any other moment `test_stories` tells. Each protection
has its negative control: the same crash without it does the harm."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_workflows import create, get, inline, over, states
from tests.support.processes import Api, Child, api, child, worker
from tests.support.wait import until

DOCTORED = (sys.executable, "-m", "tests.chaos.doctored")
PLACES = {"MAX_CONCURRENT_JOBS": "20"}
DIAMOND = (inline("a"), inline("b", "a"), inline("c", "a", for_each=[1, 2]), inline("d", "b", "c"))


def doctored(command: str, **what: str) -> tuple[str, ...]:
    return (*DOCTORED, "--light", *(f"--{name}={value}" for name, value in what.items()), command)


async def jobs_of(served: Api, workflow: dict[str, Any]) -> dict[tuple[str, Any], int]:
    """How many jobs each step and item has."""
    found = await served.client.get("/api/v1/jobs", params={"workflow_id": workflow["workflow_id"], "limit": 500})
    counts: dict[tuple[str, Any], int] = {}
    for job in found.json()["jobs"]:
        key = (job["step_id"], job["step_item"])
        counts[key] = counts.get(key, 0) + 1
    return counts


ONCE = {("a", None): 1, ("b", None): 1, ("c", 0): 1, ("c", 1): 1, ("d", None): 1}


async def a_dying_worker(folder: Path, env: dict[str, str], served: Api, fault: str, stack: AsyncExitStack) -> Child:
    """One that meets its fault, and another after it."""
    argv = doctored("worker", fault=f"{fault}:{folder / fault}")
    return await stack.enter_async_context(child(folder, {**env, "NODE_ID": "node-1"}, *argv))


@pytest.mark.parametrize("fault", ["dies_before_advance", "dies_before_release"])
async def test_a_parent_killed_at_its_commit_releases_its_children_once(
    tmp_path: Path, env: dict[str, str], fault: str
) -> None:
    """F35, I7: the worker dies when the end is durable and the workflow does not know; or knows, and no job is made."""
    env = {**env, **PLACES}
    async with api(tmp_path, env) as served, AsyncExitStack() as stack:
        first = await a_dying_worker(tmp_path, env, served, fault, stack)
        made = await create(served, *DIAMOND)
        await first.process.wait()
        async with worker(tmp_path, env, served):
            done = await over(served, made)
        assert done["status"] == "COMPLETED"
        assert await jobs_of(served, done) == ONCE


async def test_without_the_keeper_such_a_death_strands_the_workflow(tmp_path: Path, env: dict[str, str]) -> None:
    env = {**env, **PLACES}
    argv = doctored("serve", without="workflow_keeper")
    async with api(tmp_path, env, *argv) as served, AsyncExitStack() as stack:
        first = await a_dying_worker(tmp_path, env, served, "dies_before_advance", stack)
        made = await create(served, *DIAMOND)
        await first.process.wait()
        async with worker(tmp_path, env, served):
            with pytest.raises(AssertionError):
                await over(served, made, 8)
        now = await get(served, made["workflow_id"])
        assert (await served.job(now["steps"][0]["job_id"]))["status"] == "COMPLETED"
        assert states(now)["b"] == "PENDING"


async def test_without_derived_ids_the_keeper_makes_children_twice(tmp_path: Path, env: dict[str, str]) -> None:
    async with api(tmp_path, {**env, **PLACES}, *doctored("serve", without="derived_ids")) as served:
        made = await create(served, *DIAMOND)

        async def twice() -> bool:
            return (await jobs_of(served, made)).get(("a", None), 0) > 1

        await until(twice, every=0.2)


async def test_a_key_makes_one_workflow_of_a_request_whose_answer_was_lost(tmp_path: Path, env: dict[str, str]) -> None:
    body = {"workflow_name": "keyed", "steps": [inline("a")]}
    headers = {"Idempotency-Key": "wf-1"}
    for _ in range(2):
        async with api(tmp_path, env, sys.executable, "-m", "tests.support.dying_api") as served:
            with pytest.raises(httpx.TransportError):
                await served.client.post("/api/v1/workflows", json=body, headers=headers)
            await served.process.process.wait()
    async with api(tmp_path, env) as served:
        answer = await served.client.post("/api/v1/workflows", json=body, headers=headers)
        assert answer.status_code == 201
        listed = (await served.client.get("/api/v1/workflows")).json()["workflows"]
        assert [w["workflow_id"] for w in listed] == [answer.json()["workflow_id"]]
        assert len((await served.client.get("/api/v1/jobs")).json()["jobs"]) == 1
