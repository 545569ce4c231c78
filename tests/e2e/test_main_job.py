"""The main job over HTTP, as a client meets it: real processes, data and models, and every state on the stream."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.client import AsyncClient
from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.gates import UNTIL_THERE
from tests.support.processes import Api, api, worker
from tests.support.wait import until

SEED: dict[str, Any] = {
    "template": "ml_training_template",
    "parameters": {
        "dataset_name": "iris",
        "algorithm": "random_forest",
        "target_column": "species",
        "hyperparameters": {"n_estimators": 100, "max_depth": 5},
    },
    "priority": "high",
    "resources": {"cpu_cores": 4, "memory_gb": 8},
    "dependencies": [],
    "retry_policy": {"max_attempts": 3, "retry_delay": 60},
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the one service that all tests of this file use."""
    folder = tmp_path_factory.mktemp("main_job")
    (folder / "data" / "datasets").mkdir(parents=True)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, servers: Endpoints) -> AsyncIterator[Api]:
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"main_job_{os.getpid()}", home)
    async with api(home, env) as found, worker(home, env, found):
        yield found


def a_command(*argv: str, **fields: Any) -> dict[str, Any]:
    return {"template": "command", "parameters": {"command": list(argv)}, **fields}


async def test_the_first_request_of_the_contract_trains_a_real_model(served: Api) -> None:
    async with AsyncClient(served.url) as client:
        answer = await client.submit(SEED)
        assert (answer["status"], answer["message"]) == ("QUEUED", "Job submitted successfully")
        assert answer["queue_position"] == 1
        assert answer["estimated_start_time"].endswith("Z")
        states = [
            e.data["to"] async for e in client.events(f"/jobs/{answer['job_id']}/events") if e.type == "job.state"
        ]
        assert states[-1] == "COMPLETED"
        assert states == sorted(states, key=["QUEUED", "SCHEDULED", "RUNNING", "COMPLETED"].index)
        job = await client.job(answer["job_id"])
    assert job["name"] == "iris-random-forest-species-n100-d5"
    assert job["metrics"]["accuracy"] >= 0.9
    assert [s["status"] for s in job["steps"]] == ["COMPLETED"] * 4
    assert job["attempts"][0]["peak_memory_mib"] > 0
    assert [h["seq"] for h in job["history"]] == [1, 2, 3, 4]
    model = await served.client.get(f"/api/v1/jobs/{job['job_id']}/artifacts/model.skops")
    assert "schema.json" in zipfile.ZipFile(io.BytesIO(model.content)).namelist()


async def test_dependants_start_after_their_parent_and_fall_with_it(served: Api, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    good = (await served.submit({"template": "sleep", "parameters": {"seconds": 0.5}}))["job_id"]
    bad = (await served.submit(a_command("sh", "-c", f"{UNTIL_THERE}; exit 78", str(flag))))["job_id"]
    child = (await served.submit({"template": "noop", "dependencies": [good]}))["job_id"]
    doomed = (await served.submit({"template": "noop", "dependencies": [child, bad]}))["job_id"]
    below = (await served.submit({"template": "noop", "dependencies": [doomed]}))["job_id"]
    flag.touch()
    first, second = await served.ended(good), await served.ended(child)
    assert second["status"] == "COMPLETED"
    assert second["started_at"] >= first["finished_at"]
    for job_id in (doomed, below):
        job = await served.ended(job_id)
        assert (job["status"], job["history"][-1]["reason"]) == ("FAILED", "dependency_failed")
        assert bad in job["error"]["message"]


async def test_a_failing_job_is_tried_again_after_its_delay(served: Api) -> None:
    policy = {"max_attempts": 2, "retry_delay": 1, "backoff": "fixed", "jitter": 0}
    answer = await served.submit(a_command("sh", "-c", "echo it broke >&2; exit 3", retry_policy=policy))
    job = await served.ended(answer["job_id"])
    assert job["status"] == "FAILED"
    assert [a["outcome"] for a in job["attempts"]] == ["error", "error"]
    assert "it broke" in " ".join(job["error"]["log_tail"])
    assert job["error"]["exit_code"] == 3
    assert "RETRYING" in [h["to"] for h in job["history"]]


async def test_start_after_and_timeouts_are_kept(served: Api) -> None:
    slow = (await served.submit({"template": "sleep", "parameters": {"seconds": 60}, "timeout": 1}))["job_id"]
    late = {"template": "noop", "start_after": "2999-01-01T00:00:00Z"}
    waiting = await served.submit(late)
    assert waiting["status"] == "SUBMITTED"
    assert (await served.job(waiting["job_id"]))["wait_reason"]["code"] == "start_time"
    given_up = await served.submit({**late, "queue_deadline": 2})
    assert (await served.ended(slow))["status"] == "TIMEOUT"
    assert (await served.ended(given_up["job_id"]))["history"][-1]["reason"] == "queue_deadline"


async def test_what_only_the_data_can_tell_is_in_the_failed_jobs_text(served: Api, home: Path) -> None:
    data = home / "data" / "datasets"
    (data / "gaps.csv").write_text("a,b,label\n1,2,x\n,3,y\n4,5,x\n6,7,y\n8,9,x\n1,1,y\n")
    cases = {
        "gaps.csv": ({}, ["NaN", "impute"]),
        "nowhere.csv": ({}, ["nowhere.csv"]),
    }
    for dataset, (more, words) in cases.items():
        parameters = {"dataset_name": dataset, "algorithm": "random_forest", **more}
        job = await served.ended(
            (await served.submit({"template": "ml_training_template", "parameters": parameters}))["job_id"]
        )
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("FAILED", "permanent", 1)
        for word in words:
            assert word in job["error"]["message"]
    parameters = {"dataset_name": "gaps.csv", "target_column": "lable", "preprocessing_steps": ["impute"]}
    job = await served.ended(
        (await served.submit({"template": "ml_training_template", "parameters": parameters}))["job_id"]
    )
    assert "did you mean 'label'" in job["error"]["message"]


async def test_more_than_the_largest_node_is_refused_and_what_waits_says_why(served: Api) -> None:
    refused = await served.client.post("/api/v1/jobs", json={"template": "noop", "resources": {"gpu_count": 9}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "resources.gpu_count"
    holder = await served.submit(a_command("sleep", "600", resources={"gpu_count": 8, "cpu_cores": 1}))

    async def running() -> bool:
        return bool((await served.job(holder["job_id"]))["status"] == "RUNNING")

    await until(running, every=0.05)
    waiting = await served.submit({"template": "noop", "resources": {"gpu_count": 1}})

    async def reason() -> str | None:
        found = (await served.job(waiting["job_id"]))["wait_reason"]
        return found["code"] if found else None

    async def short_of_gpus() -> bool:
        return await reason() == "resources"

    await until(short_of_gpus, every=0.05)
    assert (await served.client.delete(f"/api/v1/jobs/{holder['job_id']}", params={"reason": "enough"})).is_success
    assert (await served.ended(holder["job_id"]))["history"][-1]["detail"] == "enough"
    assert (await served.ended(waiting["job_id"]))["status"] == "COMPLETED"


async def test_every_subscriber_sees_every_state_across_a_reconnect(served: Api) -> None:
    seen: dict[str, list[int]] = {}
    total = 20
    opened = asyncio.Event()

    async def listen() -> None:
        async with AsyncClient(served.url) as client:
            async for event in client.events("/events?types=job.state&timeout_seconds=1"):
                opened.set()
                if event.type == "job.state":
                    seen.setdefault(event.data["job_id"], []).append(event.data["seq"])
                done = [s for s in seen.values() if 4 in s]
                if len(done) == total:
                    return

    listening = asyncio.ensure_future(listen())
    await opened.wait()
    await asyncio.gather(*(served.submit({"template": "sleep", "parameters": {"seconds": 1.5}}) for _ in range(total)))
    await asyncio.wait_for(listening, 150)
    assert all(sorted(set(s)) == [1, 2, 3, 4] for s in seen.values())
