"""Sizing as a user meets it: a template that asks for too much learns, and a job that got too little teaches."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.processes import Api, api, worker
from tests.support.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAREFUL: dict[str, Any] = {
    "name": "careful_training",
    "base_template": "ml_training",
    "custom_parameters": {"algorithm": "decision_tree"},
    "resource_requirements": {"cpu_cores": 2, "memory_gb": 4},
}
TRAINING = {"template": "careful_training", "resources": "auto"}
NEEDS_MIB = 160  # more than 128, and less than the half more that the first growth gives
TAKES_MEMORY = f"""
import threading
held = bytearray({NEEDS_MIB} << 20)
held[::4096] = b"x" * len(held[::4096])
threading.Event().wait(4)
"""
HUNGRY: dict[str, Any] = {
    "name": "hungry",
    "resource_requirements": {"cpu_cores": 1, "memory_gb": 0.125},
    "execution_steps": [{"step": "hold", "command": ["python3", "-c", TAKES_MEMORY], "timeout": 60}],
    "retry_policy": {"retry_delay": 0.1},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, servers: Endpoints) -> AsyncIterator[Api]:
    home = tmp_path_factory.mktemp("sizing")
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"sizing_{os.getpid()}", home)
    async with api(home, env) as found, worker(home, env, found):
        yield found


async def make(served: Api, template: dict[str, Any]) -> None:
    answer = await served.client.post("/api/v1/templates", json=template)
    assert answer.status_code == 201, answer.text


async def completed(served: Api, body: dict[str, Any]) -> dict[str, Any]:
    """The job after it has run."""
    job = await served.ended((await served.submit(body))["job_id"])
    assert job["status"] == "COMPLETED", job["error"]
    return job


async def planned(served: Api, body: dict[str, Any], runs: int) -> dict[str, Any]:
    """The plan of such a job once it goes by so many runs: what was read of them may be some seconds old."""

    async def cites() -> dict[str, Any] | None:
        answer = await served.client.post("/api/v1/jobs", json=body, params={"dry_run": "true"})
        plan: dict[str, Any] = answer.json()
        sizing = plan["sizing"]
        return plan if (sizing["source"], sizing["runs"]) == ("history", runs) else None

    found = await until(cites, every=0.2)
    assert found is not None
    return found


def wasted(job: dict[str, Any]) -> float:
    """The share of its memory that the last run of a job did not use."""
    [*_, attempt] = job["attempts"]
    return 1 - float(attempt["used"]["memory_gb"]) / float(attempt["asked"]["memory_gb"])


async def test_after_ten_runs_the_eleventh_plan_cites_them_and_wastes_less(served: Api) -> None:
    await make(served, CAREFUL)
    first = [await served.submit(TRAINING) for _ in range(10)]
    jobs = [await served.ended(each["job_id"]) for each in first]
    assert [job["status"] for job in jobs] == ["COMPLETED"] * 10
    assert jobs[0]["sizing"]["source"] == "template"
    assert jobs[0]["attempts"][0]["suggestion"]["resources"]["memory_gb"] < 4

    plan = (await planned(served, TRAINING, 10))["sizing"]
    assert plan["group"] == "tenant, template, algorithm, dataset"
    assert plan["last_run_at"] == max(job["finished_at"] for job in jobs)
    assert plan["resources"]["memory_gb"] < 1

    eleventh = await completed(served, TRAINING)
    assert eleventh["resources"] == plan["resources"]
    assert (eleventh["sizing"]["source"], eleventh["sizing"]["runs"]) == ("history", 10)
    assert wasted(eleventh) < min(map(wasted, jobs)) - 0.1


async def test_a_job_that_was_killed_for_its_memory_grows_and_the_next_begins_there(served: Api) -> None:
    await make(served, HUNGRY)
    body = {"template": "hungry"}
    grown = await completed(served, body)
    assert [run["outcome"] for run in grown["attempts"]] == ["out_of_memory", "completed"]
    assert [run["asked"] == grown["resources"] for run in grown["attempts"]] == [False, True]
    assert grown["attempts"][0]["asked"]["memory_gb"] == 0.125
    enough = grown["resources"]["memory_gb"]
    assert enough > NEEDS_MIB / 1_024

    plan = await planned(served, body, 1)
    assert plan["sizing"]["outcome_of_group"]["oom_rate"] == 0.5
    following = await completed(served, body)
    assert following["resources"]["memory_gb"] >= enough
    assert [run["outcome"] for run in following["attempts"]] == ["completed"]


async def test_a_job_that_failed_for_its_memory_teaches_too(served: Api) -> None:
    """Nothing but the killed run is known then: without it the next would get as little again."""
    await make(served, {**HUNGRY, "name": "starved", "retry_policy": {"max_attempts": 1}})
    body = {"template": "starved"}
    failed = await served.ended((await served.submit(body))["job_id"])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "out_of_memory")
    await planned(served, body, 0)
    following = await completed(served, body)
    assert following["resources"]["memory_gb"] > NEEDS_MIB / 1_024
