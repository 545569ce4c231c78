"""Workflows on a live service: real processes, data and models, the pipeline of the contract verbatim."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bson import json_util
from pymongo import MongoClient

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.gates import until_there
from tests.support.processes import Api, api, worker
from tests.support.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
PIPELINE: dict[str, Any] = {
    "workflow_name": "complete_ml_pipeline",
    "description": "End-to-end ML pipeline",
    "steps": [
        {
            "step_id": "data_preparation", "job_template": "data_preprocessing",
            "parameters": {"dataset": "raw_data.csv"},
        },
        {
            "step_id": "model_training", "job_template": "ml_training", "depends_on": ["data_preparation"],
            "parameters": {"algorithm": "random_forest"},
        },
        {
            "step_id": "model_evaluation", "job_template": "model_evaluation", "depends_on": ["model_training"],
            "parameters": {"test_split": 0.2},
        },
    ],
}  # fmt: skip
OVER = {"COMPLETED", "FAILED", "CANCELLED"}
SMALL = {"cpu_cores": 0.1, "memory_gb": 0.25, "storage_gb": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workflows")


@pytest.fixture(scope="module")
def env(home: Path, servers: Endpoints) -> dict[str, str]:
    found = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"workflows_{os.getpid()}", home)
    return found | {"MAX_CONCURRENT_JOBS": "60", "CONCURRENCY_LIMITS": '{"licence": 1}'}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, env: dict[str, str]) -> AsyncIterator[Api]:
    async with api(home, env) as found, worker(home, env, found):
        yield found


def inline(step_id: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    base = {"step_id": step_id, "job_template": "noop", "executor": "inline", "depends_on": list(depends_on)}
    return {**base, **fields}


def command(step_id: str, *depends_on: str, code: str, **fields: Any) -> dict[str, Any]:
    """A step of Python; `out(…)` in it puts out."""
    text = f"import json, os, sys\ndef out(**o): json.dump(o, open(os.environ['TF_OUTPUTS'], 'w'))\n{code}"
    parameters = {"command": ["python", "-c", text, *fields.pop("arguments", [])]}
    return {
        "step_id": step_id, "job_template": "command", "depends_on": list(depends_on), "resources": SMALL,
        "parameters": parameters, "retry_policy": {"max_attempts": 1}, **fields,
    }  # fmt: skip


async def post(served: Api, path: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = await served.client.post(f"/api/v1/workflows{path}", json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def create(served: Api, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return await post(served, "", {"workflow_name": "test", "steps": list(steps), **fields}, 201)


async def get(served: Api, workflow_id: str) -> dict[str, Any]:
    answer = await served.client.get(f"/api/v1/workflows/{workflow_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def over(served: Api, workflow: dict[str, Any], timeout: float = 150) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        now = await get(served, workflow["workflow_id"])
        return now if now["status"] in OVER else None

    found = await until(ended, timeout, every=0.05, message="the workflow ends")
    assert found is not None
    return found


def states(workflow: dict[str, Any]) -> dict[str, str]:
    return {s["step_id"]: s["status"] for s in workflow["steps"]}


def reasons(workflow: dict[str, Any]) -> dict[str, str]:
    return {s["step_id"]: s["skipped_because"] for s in workflow["steps"] if s["skipped_because"]}


def step_of(workflow: dict[str, Any], step_id: str) -> dict[str, Any]:
    [found] = [s for s in workflow["steps"] if s["step_id"] == step_id]
    return found


async def test_the_pipeline_of_the_contract_runs_as_it_stands(served: Api) -> None:
    done = await over(served, await post(served, "", PIPELINE, 201))
    assert done["status"] == "COMPLETED", done
    prepared, trained, judged = (s["outputs"] for s in done["steps"])
    first, second, third = (s["job_id"] for s in done["steps"])
    assert prepared["dataset"] == f"{first}/dataset.parquet"
    training = await served.job(second)
    assert training["parameters"]["dataset_name"] == f"{first}/dataset.parquet"
    assert trained["model"] == f"{second}/model.skops"
    evaluation = await served.job(third)
    assert evaluation["parameters"]["model"] == trained["model"]
    assert evaluation["parameters"]["dataset_name"] == prepared["dataset"]
    assert judged["overlap"] == 0 and judged["rows"] == 60, "the rows held out in training, found again"
    assert judged["accuracy"] > 0.8
    assert done["outputs"] == {"model_evaluation": judged}
    assert (training["workflow_id"], training["step_id"]) == (done["workflow_id"], "model_training")
    listed = await served.client.get("/api/v1/jobs", params={"workflow_id": done["workflow_id"]})
    assert {j["job_id"] for j in listed.json()["jobs"]} == {first, second, third}


async def test_branches_conditions_and_typed_outputs(served: Api) -> None:
    steps = (
        command("judge", code="out(accuracy=0.93, n=3, names=['x', 'y'], deep={'ok': True})"),
        inline("publish", "judge", when="steps.judge.outputs.accuracy > inputs.least && steps.judge.outputs.deep.ok"),
        inline("improve", "judge", when="steps.judge.outputs.accuracy <= inputs.least"),
        command(
            "each", "judge", code="out(v=sys.argv[1] * int(sys.argv[2]))", max_parallel=1,
            for_each="${{ steps.judge.outputs.names }}",
            arguments=["${{ item }}", "${{ string(steps.judge.outputs.n) }}"],
        ),
        inline("join", "publish", "improve", dependency_type="none_failed"),
        inline("after", "improve"),
    )  # fmt: skip
    done = await over(served, await create(served, *steps, inputs={"least": {"type": "number", "default": 0.9}}))
    assert done["status"] == "COMPLETED"
    assert states(done) == {
        "judge": "COMPLETED", "publish": "COMPLETED", "improve": "SKIPPED", "each": "COMPLETED", "join": "COMPLETED",
        "after": "SKIPPED",
    }  # fmt: skip
    assert reasons(done) == {"improve": "condition_false", "after": "upstream_skipped"}
    assert step_of(done, "each")["outputs"] == [{"v": "xxx"}, {"v": "yyy"}]


async def test_a_failure_runs_its_step_and_what_can_still_run(served: Api) -> None:
    done = await over(
        served,
        await create(
            served,
            command("train", code="sys.exit(78)", on_failure="clean"),
            inline("clean"),
            inline("publish", "train"),
            command("other", code="sys.exit(78)", on_failure="continue"),
        ),
    )
    assert done["status"] == "FAILED"
    assert states(done) == {"train": "FAILED", "clean": "COMPLETED", "publish": "SKIPPED", "other": "FAILED"}
    passed_over = await over(served, await create(served, command("a", code="sys.exit(78)", on_failure="continue")))
    assert passed_over["status"] == "COMPLETED"


async def test_a_retry_begins_where_it_failed(served: Api, home: Path) -> None:
    """Eight steps, the fifth fails: steps 1 to 4 do not run again."""
    trace, flag = home / "retry.txt", home / "retry.flag"
    code = f"open({str(trace)!r}, 'a').write(sys.argv[1] + '\\n'); out(n=int(sys.argv[1]))"
    fifth = f"{code}\nif not os.path.exists({str(flag)!r}): sys.exit(78)"
    steps = [
        command(f"s{n}", *([f"s{n - 1}"] if n > 1 else []), code=fifth if n == 5 else code, arguments=[str(n)])
        for n in range(1, 9)
    ]
    failed = await over(served, await create(served, *steps))
    assert failed["status"] == "FAILED"
    assert list(states(failed).values()) == ["COMPLETED"] * 4 + ["FAILED"] + ["SKIPPED"] * 3
    assert trace.read_text().split() == ["1", "2", "3", "4", "5"]
    flag.touch()
    await post(served, f"/{failed['workflow_id']}/retry", {"reason": "the disk is back"})
    done = await over(served, failed)
    assert done["status"] == "COMPLETED"
    assert trace.read_text().split() == ["1", "2", "3", "4", "5", "5", "6", "7", "8"]
    assert [s["job_id"] for s in done["steps"][:4]] == [s["job_id"] for s in failed["steps"][:4]]


async def test_a_rerun_runs_from_its_step_with_other_parameters(served: Api) -> None:
    steps = (
        command("a", code="out(t=os.urandom(4).hex())"),
        inline("b", "a", job_template="sleep", parameters={"seconds": 0}),
    )
    first = await over(served, await create(served, *steps))
    await post(served, f"/{first['workflow_id']}/rerun", {"from_step": "b", "parameters": {"seconds": 0.1}})
    again = await over(served, first)
    assert again["status"] == "COMPLETED"
    assert step_of(again, "a") == step_of(first, "a")
    assert (await served.job(step_of(again, "b")["job_id"]))["parameters"]["seconds"] == 0.1


async def test_pause_freezes_and_resume_goes_on(served: Api, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    work = {"command": until_there(flag)}
    made = await create(
        served, {"step_id": "a", "job_template": "command", "parameters": work, "resources": SMALL}, inline("b", "a")
    )

    async def has(status: str) -> bool:
        return states(await get(served, made["workflow_id"]))["a"] == status

    await until(lambda: has("RUNNING"), every=0.02)
    await post(served, f"/{made['workflow_id']}/pause")
    await until(lambda: has("PAUSED"), every=0.02)
    assert (await get(served, made["workflow_id"]))["status"] == "PAUSED"
    flag.touch()
    await post(served, f"/{made['workflow_id']}/resume")
    assert (await over(served, made))["status"] == "COMPLETED"


async def test_cancel_ends_running_jobs(served: Api) -> None:
    sleeping = {"step_id": "a", "job_template": "sleep", "parameters": {"seconds": 600}, "resources": SMALL}
    made = await create(served, sleeping, inline("b", "a"), inline("c", approval={}))

    async def running() -> bool:
        return states(await get(served, made["workflow_id"]))["a"] == "RUNNING"

    await until(running, every=0.02)
    asked = await post(served, f"/{made['workflow_id']}/cancel", {"reason": "enough"})
    assert states(asked)["b"] == states(asked)["c"] == "CANCELLED"
    done = await over(served, made)
    assert done["status"] == "CANCELLED" and states(done)["a"] == "CANCELLED"
    assert (await served.job(step_of(done, "a")["job_id"]))["status"] == "CANCELLED"


async def test_an_approval_is_asked_for_and_given(served: Api) -> None:
    made = await create(served, inline("a", approval={"message": "sure?"}), inline("b", "a"))
    assert states(made)["a"] == "AWAITING_APPROVAL"
    await post(served, f"/{made['workflow_id']}/steps/a/approve", {"reason": "fine"})
    assert (await over(served, made))["status"] == "COMPLETED"
    expiring = await create(served, inline("a", approval={"timeout": 0.5, "default": "approve"}))
    assert (await over(served, expiring))["status"] == "COMPLETED"


async def test_the_stream_tells_every_state_and_ends_with_the_workflow(served: Api) -> None:
    made = await create(
        served, inline("a", approval={}), inline("b", "a", when="false"), inline("c", "a"),
        inline("f", "a", for_each=[1, 2]),
    )  # fmt: skip
    events: list[tuple[str, dict[str, Any], str | None]] = []
    url = f"/api/v1/workflows/{made['workflow_id']}/events"
    async with served.client.stream("GET", url, params={"timeout_seconds": 120}) as response:
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                events.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
                fields = {}
                if len(events) == 1:
                    await post(served, f"/{made['workflow_id']}/steps/a/approve")
    assert events[0][0] == "workflow.state" and events[0][1]["status"] == "RUNNING" and events[0][2]
    assert events[-1][0] == "workflow.state" and events[-1][1]["status"] == "COMPLETED"
    steps = [(d["step_id"], d["status"]) for kind, d, _ in events if kind == "workflow.step"]
    assert ("b", "SKIPPED") in steps and ("a", "COMPLETED") in steps and ("c", "RUNNING") in steps
    assert ("f", "COMPLETED") in steps
    assert {d["item"] for kind, d, _ in events if kind == "workflow.step" and d["step_id"] == "f"} >= {0, 1, None}
    assert any(kind == "job.state" for kind, *_ in events)
    half = next(id_ for *_, id_ in reversed(events[: len(events) // 2]) if id_)
    async with served.client.stream("GET", url, params={"last_event_id": half, "timeout_seconds": 120}) as response:
        text = (await response.aread()).decode()
    assert "resync" not in text and '"status":"COMPLETED"' in text


async def test_steps_take_places_in_named_limits(served: Api) -> None:
    template = {
        "name": f"licensed_{os.urandom(3).hex()}", "base_template": "noop", "limits": ["licence"], "executor": "inline",
    }  # fmt: skip
    answer = await served.client.post("/api/v1/templates", json=template)
    assert answer.status_code == 201, answer.text
    fan = {"step_id": "f", "job_template": template["name"], "for_each": [1, 2, 3, 4]}
    done = await over(served, await create(served, fan, inline("j", "f")))
    assert done["status"] == "COMPLETED"


async def test_the_same_work_is_taken_over(served: Api) -> None:
    work = command("a", code=f"out(t=os.urandom(4).hex())  # {os.urandom(3).hex()}", cache=True)
    first = await over(served, await create(served, work, inline("b", "a")))
    again = await over(served, await create(served, work, inline("b", "a")))
    assert step_of(again, "a")["cached_from"] == step_of(first, "a")["job_id"]
    assert step_of(again, "a")["outputs"] == step_of(first, "a")["outputs"]


async def test_a_schedule_runs_each_moment_once(served: Api, env: dict[str, str]) -> None:
    name = f"scheduled_{os.urandom(3).hex()}"
    body = {
        "workflow_name": name,
        "steps": [inline("a", when="inputs.n == 7")],
        "inputs": {"n": {"type": "integer"}},
        "start": False,
    }
    await post(served, "", body, 201)
    schedule = {
        "name": name,
        "workflow_name": name,
        "cron": "0 3 29 2 *",
        "timezone": "Europe/Berlin",
        "inputs": {"n": 7},
    }
    answer = await served.client.post("/api/v1/schedules", json=schedule)
    assert answer.status_code == 201, answer.text
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=2)  # noqa: TID251
    with MongoClient[dict[str, Any]](env["MONGODB_URI"]) as client:
        kept = client[env["MONGODB_DATABASE"]]["schedules"]
        for _ in range(2):  # as if the note of it had been lost: the moment comes again, and makes nothing new
            kept.update_one({"_id": name}, {"$set": {"next_at": moment}})

            async def fired() -> bool:
                found = (await served.client.get("/api/v1/schedules")).json()["schedules"]
                [mine] = [s for s in found if s["name"] == name]
                return datetime.fromisoformat(mine["next_at"]) > moment

            await until(fired, every=0.1)
    runs = (await served.client.get("/api/v1/workflows", params={"name": name})).json()["workflows"]
    assert [r["schedule"] for r in runs] == [name, None], "one run, and the one that was only stored"
    assert (await over(served, runs[0]))["status"] == "COMPLETED"
    assert (await served.client.delete(f"/api/v1/schedules/{name}")).status_code == 204
    assert isinstance(served.client, httpx.AsyncClient)


FETCH = """
import hashlib, json, os
token = os.environ['TOKEN']
print('fetched with ' + token)
json.dump({'digest': hashlib.sha256(token.encode()).hexdigest(), 'said': token}, open(os.environ['TF_OUTPUTS'], 'w'))
"""


async def test_a_secret_input_reaches_the_runs_and_stands_nowhere_else(served: Api, env: dict[str, str]) -> None:
    """The second step is released by the process that commits the end of the first: a real worker."""
    name, secret, other = f"guarded_{os.urandom(3).hex()}", "an-example-and-no-secret", "another-one-and-no-secret"
    template = {
        "name": name, "parameters": [{"name": "token", "type": "secret", "required": True}],
        "resource_requirements": {**SMALL, "gpu_count": 0},
        "execution_steps": [
            {"step": "fetch", "command": ["python", "-c", FETCH], "env": {"TOKEN": "${{ parameters.token }}"}},
        ],
    }  # fmt: skip
    answer = await served.client.post("/api/v1/templates", json=template)
    assert answer.status_code == 201, answer.text
    fetch = {"step_id": "first", "job_template": name, "parameters": {"token": "${{ inputs.token }}"}}
    steps = [fetch, {**fetch, "step_id": "second", "depends_on": ["first"]}]
    inputs = {"token": {"type": "secret"}}
    await post(served, "", {"workflow_name": name, "inputs": inputs, "steps": steps, "start": False}, 201)
    done = await over(served, await post(served, "/run", {"workflow_name": name, "inputs": {"token": secret}}, 201))
    assert done["status"] == "COMPLETED", done
    assert [s["outputs"] for s in done["steps"]] == [{"digest": digest_of(secret), "said": "***"}] * 2
    body = {"from_step": "second", "parameters": {"token": other}}
    await post(served, f"/{done['workflow_id']}/rerun", body)
    again = await over(served, done)
    assert [s["outputs"]["digest"] for s in again["steps"]] == [digest_of(secret), digest_of(other)]
    logs = (await served.client.get(f"/api/v1/jobs/{step_of(again, 'second')['job_id']}/logs")).json()
    assert [line["text"] for line in logs["lines"]] == ["fetched with ***"]
    with MongoClient[dict[str, Any]](env["MONGODB_URI"]) as client:
        database = client[env["MONGODB_DATABASE"]]
        holding = {
            collection
            for collection in database.list_collection_names()
            for document in database[collection].find()
            if any(text in json_util.dumps(document) + str(document) for text in (secret, other))
        }
    assert holding == {"secrets"}
    told = "".join(log.read_text() for log in served.process.log.parent.glob("*.log"))
    assert step_of(again, "second")["job_id"] in told, "the logs of these runs were read"
    assert secret not in told and other not in told


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
