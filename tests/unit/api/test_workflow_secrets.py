"""A secret of a workflow is shown nowhere: not by its definition, runs, schedules, their jobs and events, nor in what
is stored of them. It reaches the jobs of the steps that it is handed to, and these alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from app.domain.expressions import Evaluation
from app.domain.workflows.definition import Definition, StepDefinition
from app.operations.workflows.scheduling import fire
from app.scheduler.retention import Retention
from app.storage.expressions import CelExpressions
from app.storage.memory.secrets import MemorySecretStore
from app.storage.workflow_documents import definition_json, schedule_document, workflow_document
from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflows import WORKFLOWS, create, end_step, get, post, step

SCHEDULES = "/api/v1/schedules"
SECRET, NEW = "Geheim-1234", "Neuer-5678"
HANDED = "${{ inputs.token }}"
TEMPLATE = {
    "name": "login",
    "base_template": "noop",
    "parameters": [
        {"name": "token", "type": "secret", "required": True, "aliases": ["key"], "pattern": "[A-Za-z0-9-]+"},
        {"name": "note", "type": "string"},
    ],
}
INPUTS = {"token": {"type": "secret"}, "note": {"type": "string", "default": "hello"}}
GUARDED = step("a", job_template="login", parameters={"token": HANDED, "note": "${{ inputs.note }}"})
NIGHTLY = {"name": "nightly", "workflow_name": "test", "cron": "30 2 * * *", "inputs": {"token": SECRET}}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


async def login(api: Api, *steps: dict[str, Any]) -> dict[str, Any]:
    """The workflow `test`, stored, whose steps are handed a token."""
    assert (await api.client.post("/api/v1/templates", json=TEMPLATE)).status_code in {201, 409}
    return await create(api, *(steps or (GUARDED, step("b", "a"))), inputs=INPUTS, start=False)


async def run(api: Api, **inputs: Any) -> dict[str, Any]:
    return await post(api, "/run", {"workflow_name": "test", "inputs": inputs}, 201)


def sealed(api: Api, of: str) -> list[dict[str, str]]:
    """What is sealed of one job, run or schedule."""
    assert isinstance(api.services.secrets, MemorySecretStore)
    return [dict(each.values) for each in api.services.secrets._sealed.values() if each.owner == of]


async def token_of(api: Api, workflow: dict[str, Any], n: int = 0) -> list[dict[str, str]]:
    """What the job of a step is given."""
    return sealed(api, (await get(api, workflow["workflow_id"]))["steps"][n]["job_id"])


async def refused(api: Api, body: dict[str, Any], path: str = "") -> dict[str, str]:
    answer = await api.client.post(WORKFLOWS + path, json=body)
    assert answer.status_code == 422 and SECRET not in answer.text, answer.text
    return {e["path"]: e["message"] for e in answer.json()["errors"]}


async def test_a_secret_input_reaches_the_job_and_the_run_holds_stars(api: Api) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    assert made["inputs"] == {"token": "***", "note": "hello"}
    assert await token_of(api, made) == [{"token": SECRET}]
    job = await api.job(made["steps"][0]["job_id"])
    assert job.parameters == {"token": "***", "note": "hello"} and job.secrets == ("token",)
    workflow = await api.services.workflows.get(made["workflow_id"])
    assert workflow is not None and sealed(api, workflow.id) == [{"token": SECRET}]
    for stored in (repr(workflow), str(asdict(workflow)), str(workflow_document(workflow)), str(job)):
        assert SECRET not in stored


async def test_no_read_operation_answers_it(api: Api) -> None:
    await login(api)
    assert (await api.client.post(SCHEDULES, json=NIGHTLY)).status_code == 201
    made = await run(api, token=SECRET)
    await end_step(api, made, "a", failed=True)
    await post(api, f"/{made['workflow_id']}/rerun", {"from_step": "a", "parameters": {"token": NEW}})
    names = {
        "workflow_id": made["workflow_id"], "workflow_name": "test", "step_id": "a", "template_id": "login",
        "job_id": (await get(api, made["workflow_id"]))["steps"][0]["job_id"],
        "node_id": "n", "name": "x", "decision_id": "1", "batch_id": "b",
    }  # fmt: skip
    asked = 0
    for path in [path for path, item in api.app.openapi()["paths"].items() if "get" in item]:
        limit = {"timeout_seconds": "0.1"} if "events" in path else {}
        async with api.client.stream("GET", path.format(**names), params=limit) as answer:
            text = (await answer.aread()).decode()
        assert SECRET not in text and NEW not in text, path
        asked += answer.is_success
    assert asked >= 30


async def test_a_definition_is_shown_as_it_was_written(api: Api) -> None:
    await login(api)
    answer = await api.client.get(f"{WORKFLOWS}/definitions/test")
    shown = answer.json()["definition"]
    assert shown["steps"][0]["parameters"] == GUARDED["parameters"]
    again = await post(api, "", {**shown, "start": False}, 201)
    assert again["version"] == 1, "it can be sent back as it is"


async def test_one_of_an_earlier_release_that_holds_a_secret_works_and_stays_masked(api: Api) -> None:
    await login(api)
    old = Definition("old", (StepDefinition("a", "login", parameters={"key": SECRET}),))
    await api.services.definitions.define(old, {"login": 1}, api.clock.now())
    answer = await api.client.get(f"{WORKFLOWS}/definitions/old")
    assert answer.json()["definition"]["steps"][0]["parameters"] == {"key": "***"}
    made = await post(api, "/run", {"workflow_name": "old"}, 201)
    assert await token_of(api, made) == [{"token": SECRET}]
    await end_step(api, made, "a", failed=True)
    await post(api, f"/{made['workflow_id']}/rerun", {"from_step": "a", "parameters": {"note": "again"}})
    assert await token_of(api, made) == [{"token": SECRET}]


async def test_no_expression_is_given_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Evaluation] = []
    real = CelExpressions.evaluate

    async def watched(self: Any, evaluations: Any, whose: str) -> Any:
        seen.extend(evaluations)
        return await real(self, evaluations, whose)

    monkeypatch.setattr(CelExpressions, "evaluate", watched)
    await login(api)
    await run(api, token=SECRET, note="plain")
    assert [dict(each.values) for each in seen] == [{"inputs.note": "plain"}]


@pytest.mark.parametrize("body", [{"token": "***"}, {"token": 7}, {}, {"token": SECRET, "tokn": "x"}])
async def test_what_is_no_secret_is_refused_wherever_inputs_are_given(api: Api, body: dict[str, Any]) -> None:
    stored = await login(api)
    for path in ("/run", f"/{stored['workflow_id']}/start"):
        wanted = {"inputs": body} | ({"workflow_name": "test"} if path == "/run" else {})
        assert len(await refused(api, wanted, path)) == 1
    answer = await api.client.post(SCHEDULES, json={**NIGHTLY, "inputs": body})
    assert answer.status_code == 422 and SECRET not in answer.text
    assert sealed(api, stored["workflow_id"]) == sealed(api, "schedule:nightly") == []


async def test_what_its_template_refuses_fails_the_step_and_tells_nothing(api: Api) -> None:
    await login(api)
    made = await run(api, token=f"{SECRET}!?")
    assert made["steps"][0]["status"] == "FAILED" and "must match" in made["steps"][0]["error"]["message"]
    assert SECRET not in str(made)


async def test_a_stored_one_is_started_with_it_once(api: Api) -> None:
    stored = await login(api)
    bodies = [{"inputs": {"token": f"{SECRET}-{n}"}} for n in range(6)]
    url = f"{WORKFLOWS}/{stored['workflow_id']}/start"
    answers = await asyncio.gather(*(api.client.post(url, json=body) for body in bodies))
    assert sorted(a.status_code for a in answers) == [200, *[409] * 5]
    [won] = [body["inputs"] for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 200]
    assert sealed(api, stored["workflow_id"]) == [won], "those that were refused are dropped"
    assert await token_of(api, stored) == [won]


async def test_one_key_stores_it_once(api: Api) -> None:
    await login(api)
    body = {"workflow_name": "test", "inputs": {"token": SECRET}}
    answers = await asyncio.gather(
        *(api.client.post(f"{WORKFLOWS}/run", json=body, headers={"Idempotency-Key": "k"}) for _ in range(6))
    )
    [workflow_id] = {a.json()["workflow_id"] for a in answers}
    assert sealed(api, workflow_id) == [{"token": SECRET}]
    api.services.answers._stored.clear()  # type: ignore[attr-defined]
    again = await post(api, "/run", body, 201, **{"Idempotency-Key": "k"})
    assert again["workflow_id"] == workflow_id
    assert sealed(api, workflow_id) == [{"token": SECRET}], "a replay whose answer was lost drops its own"


async def test_a_retry_gives_it_again(api: Api) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    first = made["steps"][0]["job_id"]
    await end_step(api, made, "a", failed=True)
    again = await post(api, f"/{made['workflow_id']}/retry")
    assert again["steps"][0]["job_id"] != first and await token_of(api, made) == [{"token": SECRET}]


async def test_a_rerun_with_another_secret_seals_that_and_retention_forgets_the_old_one(api: Api) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    workflow_id = made["workflow_id"]
    await end_step(api, made, "a", failed=True)
    body = {"from_step": "a", "parameters": {"token": NEW, "note": "again"}}
    await post(api, f"/{workflow_id}/rerun", body)
    assert await token_of(api, made) == [{"token": NEW}]
    workflow = await api.services.workflows.get(workflow_id)
    assert workflow is not None and workflow.step("a").parameters == {"token": "***", "note": "again"}
    assert sealed(api, workflow_id) == [{"token": SECRET}, {"token": SECRET, "a:token": NEW}]
    api.clock.advance(timedelta(hours=2).total_seconds())
    await Retention(api.services).run_once()
    assert sealed(api, workflow_id) == [{"token": SECRET, "a:token": NEW}]
    await end_step(api, made, "a", failed=True)
    await post(api, f"/{workflow_id}/rerun", {"from_step": "a", "parameters": {"note": "once more"}})
    assert await token_of(api, made) == [{"token": NEW}], "it stays what a rerun said"
    await end_step(api, made, "a", failed=True)
    await post(api, f"/{workflow_id}/retry")
    assert await token_of(api, made) == [{"token": NEW}]


@pytest.mark.parametrize(
    "parameters", [{"token": "***"}, {"token": "a b"}, {"token": HANDED}, {"token": None}, {"key": SECRET}]
)
async def test_a_rerun_with_what_is_no_secret_is_refused(api: Api, parameters: dict[str, Any]) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    await end_step(api, made, "a", failed=True)
    errors = await refused(api, {"from_step": "a", "parameters": parameters}, f"/{made['workflow_id']}/rerun")
    assert list(errors) == [f"parameters.{name}" for name in parameters]
    assert sealed(api, made["workflow_id"]) == [{"token": SECRET}]


async def test_a_rerun_that_is_refused_keeps_no_secret(api: Api) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    body = {"from_step": "a", "parameters": {"token": NEW}}
    assert (await api.client.post(f"{WORKFLOWS}/{made['workflow_id']}/rerun", json=body)).status_code == 409
    assert sealed(api, made["workflow_id"]) == [{"token": SECRET}]


async def test_items_are_each_given_it(api: Api) -> None:
    await login(api, {**GUARDED, "for_each": [1, 2, 3]})
    made = await run(api, token=SECRET)
    jobs = [item["job_id"] for item in made["steps"][0]["items"]]
    assert [sealed(api, job_id) for job_id in jobs] == [[{"token": SECRET}]] * 3


async def test_a_schedule_holds_stars_and_its_runs_are_given_it(api: Api) -> None:
    await login(api)
    made = (await api.client.post(SCHEDULES, json=NIGHTLY)).json()
    assert made["inputs"] == {"token": "***"}
    schedule = await api.services.schedules.get("nightly")
    assert schedule is not None and SECRET not in str(schedule_document(schedule)) + repr(schedule)
    assert sealed(api, "schedule:nightly") == [{"token": SECRET}]
    api.clock.advance(timedelta(days=1, hours=1).total_seconds())
    await Retention(api.services).run_once()
    await fire(api.services, api.clock.now().replace(hour=2, minute=30, second=20))
    [listed] = (await api.client.get(SCHEDULES)).json()["schedules"]
    assert listed["last_error"] is None and listed["inputs"] == {"token": "***"}
    ran = await get(api, listed["last_workflow_id"])
    assert ran["inputs"]["token"] == "***" and await token_of(api, ran) == [{"token": SECRET}]


async def test_a_schedules_secrets_go_with_it(api: Api) -> None:
    await login(api)
    assert (await api.client.post(SCHEDULES, json=NIGHTLY)).status_code == 201
    api.clock.advance(1)
    taken = {**NIGHTLY, "inputs": {"token": NEW}}
    assert (await api.client.post(SCHEDULES, json=taken)).status_code == 409
    assert sealed(api, "schedule:nightly") == [{"token": SECRET}], "of one that was refused nothing is kept"
    assert (await api.client.delete(f"{SCHEDULES}/nightly")).status_code == 204
    assert sealed(api, "schedule:nightly") == []
    assert (await api.client.post(SCHEDULES, json=taken)).status_code == 201
    assert sealed(api, "schedule:nightly") == [{"token": NEW}]


async def test_a_schedule_gives_no_secret_to_a_definition_that_takes_it_as_text(api: Api) -> None:
    await login(api)
    assert (await api.client.post(SCHEDULES, json=NIGHTLY)).status_code == 201
    await create(api, step("a"), inputs={"token": {"type": "string"}}, start=False)
    api.clock.advance(timedelta(days=1).total_seconds())
    await fire(api.services, api.clock.now().replace(hour=2, minute=30, second=20))
    [listed] = (await api.client.get(SCHEDULES)).json()["schedules"]
    assert "was given as a secret, and is string now" in listed["last_error"]
    assert (await api.client.get(WORKFLOWS, params={"status": "RUNNING"})).json()["workflows"] == []


async def test_a_secret_that_is_gone_fails_the_step(api: Api) -> None:
    await login(api)
    made = await run(api, token=SECRET)
    await end_step(api, made, "a", failed=True)
    await api.services.secrets.delete_of([made["workflow_id"]])
    again = await post(api, f"/{made['workflow_id']}/retry")
    assert again["status"] == "FAILED"
    assert "the secret is not stored any more; run the workflow again" in again["steps"][0]["error"]["message"]


async def test_no_definition_is_stored_with_it(api: Api) -> None:
    await login(api)
    pinned = await api.services.definitions.get("test")
    assert pinned is not None and SECRET.encode() not in definition_json(pinned.definition)
