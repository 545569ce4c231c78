"""Workflows over HTTP: made, refused, followed, controlled. Jobs end by hand, as a worker would end them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.job import Job, JobError
from app.domain.states import JobStatus
from app.domain.transitions import RunEnd, complete, fail, place, start
from app.operations.change import commit_all
from app.operations.control import load as load_job
from tests.unit.api.harness import Api, running_api

WORKFLOWS = "/api/v1/workflows"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


def step(step_id: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    return {"step_id": step_id, "job_template": "noop", "depends_on": list(depends_on), **fields}


def definition(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"workflow_name": "test", "steps": list(steps), **fields}


async def post(api: Api, path: str, body: Any = None, status: int = 200, **headers: str) -> dict[str, Any]:
    answer = await api.client.post(WORKFLOWS + path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def create(api: Api, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return await post(api, "", definition(*steps, **fields), 201)


async def get(api: Api, workflow_id: str) -> dict[str, Any]:
    answer = await api.client.get(f"{WORKFLOWS}/{workflow_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def states(workflow: dict[str, Any]) -> dict[str, str]:
    return {s["step_id"]: s["status"] for s in workflow["steps"]}


async def end_job(api: Api, job_id: str, *, outputs: dict[str, Any] | None = None, failed: bool = False) -> Job:
    """What a worker does of a job, from its place to its end."""
    services = api.services
    job = await load_job(services, job_id)
    assert job.status is JobStatus.QUEUED
    for change in (lambda j: place(j, "n1", (), services.stamp()), lambda j: start(j, services.stamp())):
        [job] = [j for j in await commit_all(services, [(job, change(job))]) if j is not None]
    if failed:
        ended = fail(job, "error", RunEnd(error=JobError("error", "it broke")), services.stamp())
    else:
        result = {"metrics": {}, "steps": {"noop": outputs or {}}}
        ended = complete(job, RunEnd(result=result), services.stamp())
    [after] = await commit_all(services, [(job, ended)])
    assert after is not None
    return after


async def end_step(api: Api, workflow: dict[str, Any], step_id: str, **how: Any) -> dict[str, Any]:
    now = await get(api, workflow["workflow_id"])
    [job_id] = [s["job_id"] for s in now["steps"] if s["step_id"] == step_id]
    await end_job(api, job_id, **how)
    return await get(api, workflow["workflow_id"])


async def test_a_workflow_runs_from_its_creation_to_its_end(api: Api) -> None:
    made = await create(api, step("a"), step("b", "a"))
    assert made["status"] == "RUNNING" and made["workflow_id"].startswith("wf_")
    assert states(made) == {"a": "QUEUED", "b": "PENDING"}
    job = (await api.client.get(f"/api/v1/jobs/{made['steps'][0]['job_id']}")).json()
    assert (job["workflow_id"], job["step_id"]) == (made["workflow_id"], "a")
    assert job["name"] == "test-a"
    assert states(await end_step(api, made, "a", outputs={"n": 1})) == {"a": "COMPLETED", "b": "QUEUED"}
    done = await end_step(api, made, "b", outputs={"n": 2})
    assert done["status"] == "COMPLETED"
    assert done["outputs"] == {"b": {"n": 2}}
    assert [e["reason"] for e in done["history"]] == ["submitted", "started", "completed"]


async def test_conditions_and_parameters_speak_of_inputs_and_outputs(api: Api) -> None:
    steps = (
        step("a"),
        step("good", "a", when="steps.a.outputs.accuracy > inputs.least"),
        step("bad", "a", when="steps.a.outputs.accuracy <= inputs.least"),
        step(
            "use", "a", job_template="sleep",
            parameters={"seconds": "${{ steps.a.outputs.accuracy * 10.0 }}"},
        ),
        step("join", "good", "bad", dependency_type="none_failed"),
    )  # fmt: skip
    made = await create(api, *steps, inputs={"least": {"type": "number", "default": 0.9}})
    now = await end_step(api, made, "a", outputs={"accuracy": 0.95})
    assert states(now) == {"a": "COMPLETED", "good": "QUEUED", "bad": "SKIPPED", "use": "QUEUED", "join": "PENDING"}
    assert next(s for s in now["steps"] if s["step_id"] == "bad")["skipped_because"] == "condition_false"
    job = await load_job(api.services, next(s for s in now["steps"] if s["step_id"] == "use")["job_id"])
    assert job.parameters["seconds"] == 9.5
    assert states(await end_step(api, made, "good"))["join"] == "QUEUED"


async def test_a_parameter_that_cannot_be_filled_in_fails_its_step(api: Api) -> None:
    made = await create(
        api, step("a"), step("b", "a", job_template="sleep", parameters={"seconds": "${{ steps.a.outputs.n }}"})
    )
    now = await end_step(api, made, "a")
    assert now["status"] == "FAILED"
    assert now["steps"][1]["error"]["code"] == "bad_expression"
    assert "unknown key n; known: none" in now["steps"][1]["error"]["message"]


async def test_a_filled_in_parameter_is_judged_as_a_submit_judges_it(api: Api) -> None:
    made = await create(
        api, step("a"), step("b", "a", job_template="sleep", parameters={"seconds": "${{ steps.a.outputs.n }}"})
    )
    now = await end_step(api, made, "a", outputs={"n": "soon"})
    assert now["steps"][1]["error"] == {
        "code": "invalid",
        "message": "parameters.seconds: must be of type number, got string: How long to wait",
    }


async def test_a_fan_out_gives_its_outputs_in_order(api: Api) -> None:
    fan = step(
        "f", job_template="sleep", for_each="${{ inputs.list }}", max_parallel=2,
        parameters={"seconds": "${{ item * 2 + index }}"},
    )  # fmt: skip
    after = step("j", "f", when="size(steps.f.outputs) == 3 && steps.f.outputs[1].v == 'x1'")
    made = await create(api, fan, after, inputs={"list": {"type": "array", "default": [5, 6, 7]}})
    [items] = [s["items"] for s in made["steps"] if s["items"] is not None]
    assert [i["status"] for i in items] == ["QUEUED", "QUEUED", "PENDING"]
    jobs = []
    for n in (1, 0, 2):
        now = await get(api, made["workflow_id"])
        job_id = now["steps"][0]["items"][n]["job_id"]
        jobs.append(await load_job(api.services, job_id))
        await end_job(api, job_id, outputs={"v": f"x{n}"})
    assert [(j.step_item, j.parameters["seconds"]) for j in jobs] == [(1, 13), (0, 10), (2, 16)]
    now = await get(api, made["workflow_id"])
    assert now["steps"][0]["outputs"] == [{"v": "x0"}, {"v": "x1"}, {"v": "x2"}]
    assert states(now) == {"f": "COMPLETED", "j": "QUEUED"}


async def test_what_a_step_before_produced_is_taken_without_expressions(api: Api) -> None:
    made = await create(
        api,
        step("prepare", job_template="data_preprocessing", parameters={"dataset": "raw_data.csv"}),
        step("train", "prepare", job_template="ml_training", parameters={"algorithm": "random_forest"}),
        step("judge", "train", job_template="model_evaluation", parameters={"test_split": 0.2}),
    )
    first = made["steps"][0]["job_id"]
    now = await end_step(api, made, "prepare", outputs={"dataset": f"{first}/dataset.parquet"})
    second = now["steps"][1]["job_id"]
    assert (await load_job(api.services, second)).parameters["dataset_name"] == f"{first}/dataset.parquet"
    now = await end_step(api, made, "train", outputs={"model": f"{second}/model.skops", "accuracy": 0.9})
    judge = await load_job(api.services, now["steps"][2]["job_id"])
    assert judge.parameters["model"] == f"{second}/model.skops"
    assert judge.parameters["dataset_name"] == f"{first}/dataset.parquet"


async def test_a_stored_workflow_is_started_later_with_its_inputs(api: Api) -> None:
    body = definition(step("a", when="inputs.go"), inputs={"go": {"type": "boolean"}})
    refused = await post(api, "", body, 422)
    assert refused["errors"][0]["path"] == "inputs.go"
    made = await post(api, "", {**body, "start": False}, 201)
    assert made["status"] == "PENDING" and states(made) == {"a": "PENDING"}
    wrong = await post(api, f"/{made['workflow_id']}/start", {"inputs": {"go": 1, "gone": 2}}, 422)
    assert {e["path"] for e in wrong["errors"]} == {"inputs.go", "inputs.gone"}
    begun = await post(api, f"/{made['workflow_id']}/start", {"inputs": {"go": True}})
    assert begun["status"] == "RUNNING" and states(begun) == {"a": "QUEUED"}
    again = await post(api, f"/{made['workflow_id']}/start", {"inputs": {"go": True}}, 409)
    assert again["current"] == "RUNNING" and again["allowed"]


async def test_a_stored_workflow_runs_again_by_its_name(api: Api) -> None:
    first = await create(api, step("a"))
    again = await post(api, "/run", {"workflow_name": "test"}, 201)
    assert again["workflow_id"] != first["workflow_id"] and again["version"] == 1
    assert (await create(api, step("a"), step("b")))["version"] == 2
    assert (await post(api, "/run", {"workflow_name": "test"}, 201))["version"] == 2
    unknown = await post(api, "/run", {"workflow_name": "tset"}, 404)
    assert unknown["nearest"] == "test"


async def test_lists_page_and_filter(api: Api) -> None:
    ids = []
    for n in range(5):
        api.clock.advance(1)
        ids.append((await create(api, step(f"s{n}"), workflow_name="even" if n % 2 == 0 else "odd"))["workflow_id"])
    page = (await api.client.get(WORKFLOWS, params={"limit": 3})).json()
    rest = (await api.client.get(WORKFLOWS, params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert sorted(w["workflow_id"] for w in page["workflows"] + rest["workflows"]) == sorted(ids)
    odd = (await api.client.get(WORKFLOWS, params={"name": "odd"})).json()["workflows"]
    assert len(odd) == 2
    assert (await api.client.get(WORKFLOWS, params={"status": "FAILED"})).json()["workflows"] == []


async def test_retry_does_not_run_finished_steps_again(api: Api) -> None:
    made = await create(api, step("s1"), *(step(f"s{n}", f"s{n - 1}") for n in range(2, 9)))
    for n in range(1, 5):
        await end_step(api, made, f"s{n}", outputs={"n": n})
    failed = await end_step(api, made, "s5", failed=True)
    assert failed["status"] == "FAILED" and failed["steps"][4]["error"]["message"] == "it broke"
    again = await post(api, f"/{made['workflow_id']}/retry")
    assert [s["job_id"] for s in again["steps"][:4]] == [s["job_id"] for s in failed["steps"][:4]]
    assert again["steps"][4]["job_id"] != failed["steps"][4]["job_id"]
    for n in range(5, 9):
        done = await end_step(api, made, f"s{n}")
    assert done["status"] == "COMPLETED" and done["steps"][0]["outputs"] == {"n": 1}


async def test_rerun_checks_its_parameters_and_runs_from_there(api: Api) -> None:
    made = await create(api, step("a"), step("b", "a", job_template="sleep", parameters={"seconds": 1}))
    await end_step(api, made, "a")
    await end_step(api, made, "b")
    path = f"/{made['workflow_id']}/rerun"
    wrong = await post(api, path, {"from_step": "b", "parameters": {"secods": 1}}, 422)
    assert wrong["errors"][0] | {"message": ""} == {"path": "parameters.secods", "message": "", "nearest": "seconds"}
    await post(api, path, {"from_step": "c"}, 422)
    again = await post(api, path, {"from_step": "b", "parameters": {"seconds": 3}})
    assert again["status"] == "RUNNING" and states(again) == {"a": "COMPLETED", "b": "QUEUED"}
    assert (await load_job(api.services, again["steps"][1]["job_id"])).parameters["seconds"] == 3


async def test_cancel_reaches_the_jobs(api: Api) -> None:
    made = await create(api, step("a"), step("b", "a"))
    done = await post(api, f"/{made['workflow_id']}/cancel", {"reason": "enough"})
    assert done["status"] == "CANCELLED" and states(done) == {"a": "CANCELLED", "b": "CANCELLED"}
    job = await load_job(api.services, made["steps"][0]["job_id"])
    assert job.status is JobStatus.CANCELLED
    assert (await post(api, f"/{made['workflow_id']}/cancel"))["status"] == "CANCELLED"


async def test_pause_holds_jobs_and_resume_lets_them_go(api: Api) -> None:
    made = await create(api, step("a"), step("x"), step("b", "a"))
    mine = made["steps"][1]["job_id"]
    await api.client.post(f"/api/v1/jobs/{mine}/pause", json={"reason": "by itself"})
    held = await post(api, f"/{made['workflow_id']}/pause")
    assert held["status"] == "PAUSED" and states(held) == {"a": "PAUSED", "x": "PAUSED", "b": "PENDING"}
    assert held["wish"] is None
    gone_on = await post(api, f"/{made['workflow_id']}/resume")
    assert gone_on["status"] == "RUNNING" and states(gone_on) == {"a": "QUEUED", "x": "PAUSED", "b": "PENDING"}
    assert (await post(api, f"/{made['workflow_id']}/resume"))["status"] == "RUNNING"
    history = (await load_job(api.services, made["steps"][0]["job_id"])).history
    assert [(entry.reason, entry.actor) for entry in history] == [
        ("submitted", "system"), ("hold", "anonymous"), ("resume_eligible", "anonymous"),
    ], "whoever paused the whole paused each"  # fmt: skip


async def test_an_approval_is_answered_once(api: Api) -> None:
    made = await create(api, step("a", approval={"message": "sure?", "timeout": 60}))
    assert made["steps"][0]["status"] == "AWAITING_APPROVAL"
    assert made["steps"][0]["approval"]["message"] == "sure?" and made["steps"][0]["approval"]["approve_by"]
    path = f"/{made['workflow_id']}/steps/a"
    assert states(await post(api, f"{path}/approve")) == {"a": "QUEUED"}
    await post(api, f"{path}/approve")
    assert (await post(api, f"{path}/reject", status=409))["detail"].endswith("was approved already.")
    await post(api, f"/{made['workflow_id']}/steps/b/approve", status=404)
    other = await create(api, step("a", approval={}))
    rejected = await post(api, f"/{other['workflow_id']}/steps/a/reject", {"reason": "no"})
    assert states(rejected) == {"a": "REJECTED"} and rejected["status"] == "FAILED"


async def test_if_match_guards_a_control(api: Api) -> None:
    made = await create(api, step("a"))
    answer = await api.client.post(f"{WORKFLOWS}/{made['workflow_id']}/pause", headers={"If-Match": '"99"'})
    assert answer.status_code == 412
    answer = await api.client.get(f"{WORKFLOWS}/{made['workflow_id']}")
    assert answer.headers["etag"] == f'"{answer.json()["seq"]}"'


async def test_the_graph_can_be_drawn(api: Api) -> None:
    made = await create(
        api, step("a", on_failure="clean"), step("b", "a"), step("c", "a"), step("d", "b", "c"), step("clean")
    )
    graph = (await api.client.get(f"{WORKFLOWS}/{made['workflow_id']}/graph")).json()
    levels = {n["step_id"]: (n["level"], n["lane"]) for n in graph["nodes"]}
    assert levels["a"] == (0, 0) and levels["d"][0] == 2 and len(set(levels.values())) == 5
    assert {"from": "a", "to": "clean", "kind": "on_failure"} in graph["edges"]
    assert len(graph["edges"]) == 5


async def test_a_cached_step_takes_over_what_the_same_work_put_out(api: Api) -> None:
    work = step("a", job_template="sleep", parameters={"seconds": 2}, cache=True)
    first = await create(api, work)
    await end_step(api, first, "a", outputs={"n": 7})
    second = await create(api, work)
    assert second["status"] == "COMPLETED"
    assert second["steps"][0]["cached_from"] == first["steps"][0]["job_id"]
    assert second["outputs"] == {"a": {"n": 7}}
    other = await create(api, {**work, "parameters": {"seconds": 3}})
    assert other["status"] == "RUNNING"
    uncached = await create(api, {**work, "cache": False})
    assert uncached["status"] == "RUNNING"
