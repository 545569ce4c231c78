"""A secret is shown nowhere: not by its job, template, plan, origins or events, nor in what is stored of the job.

Every read operation of the service is asked; the value is looked for in what it answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from app.scheduler.retention import Retention
from app.storage.documents import job_document
from app.storage.memory.secrets import MemorySecretStore
from app.storage.search import terms_of
from tests.unit.api.harness import Api

JOBS = "/api/v1/jobs"
SECRET, NEW = "Geheim-1234", "Neuer-5678"
TEMPLATE = {
    "name": "guarded",
    "parameters": [
        {"name": "token", "type": "secret", "required": True, "aliases": ["key"], "pattern": "[A-Za-z]+-[0-9]+"},
        {"name": "rate", "type": "number"},
    ],
    "execution_steps": [{"step": "call", "command": ["true"], "env": {"TOKEN": "${{ parameters.token }}"}}],
}


async def guarded(api: Api, **headers: str) -> str:
    """A job with a secret."""
    assert (await api.client.post("/api/v1/templates", json=TEMPLATE)).status_code in {201, 409}
    body = {"template": "guarded", "parameters": {"key": SECRET, "rate": 0.5}}
    answer = await api.client.post(JOBS, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["job_id"])


def sealed(api: Api) -> dict[str, Any]:
    """All that is stored apart, by id."""
    assert isinstance(api.services.secrets, MemorySecretStore)
    return {each.id: dict(each.values) for each in api.services.secrets._sealed.values()}


async def test_no_read_operation_answers_a_secret(api: Api) -> None:
    job_id = await guarded(api)
    await api.client.delete(f"{JOBS}/{job_id}")
    await api.client.post(f"{JOBS}/{job_id}/retry", json={"parameters": {"token": NEW}})
    paths = [path for path, item in api.app.openapi()["paths"].items() if "get" in item]
    asked = 0
    for path in paths:
        url = path.format(
            job_id=job_id,
            template_id="guarded",
            node_id="n",
            name="x",
            decision_id="1",
            batch_id="b",
            workflow_id="w",
            workflow_name="x",
            step_id="s",
        )
        limit = {"timeout_seconds": "0.1"} if "events" in path else {}
        async with api.client.stream("GET", url, params=limit) as answer:
            text = (await answer.aread()).decode()
        assert SECRET not in text and NEW not in text, url
        asked += answer.is_success
    assert asked >= 20


async def test_what_a_job_is_stored_as_has_no_secret(api: Api) -> None:
    job_id = await guarded(api)
    job = await api.job(job_id)
    assert job.parameters == {"token": "***", "rate": 0.5}
    for stored in (str(job_document(job)), repr(job), str(asdict(job)), str(terms_of(job))):
        assert SECRET not in stored
    assert sealed(api) == {job_id: {"token": SECRET}}


async def test_a_plan_and_a_refusal_tell_no_secret(api: Api) -> None:
    await guarded(api)
    bodies = [
        {"template": "guarded", "parameters": {"token": SECRET}},
        {"template": "guarded", "parameters": {"token": SECRET, "rate": "x"}},
        {"template": "guarded", "parameters": {"token": f"{SECRET}!"}},
        {"template": "guarded", "parameters": {"token": [SECRET]}},
        {"template": "guarded", "parameters": {"token": SECRET, "key": f"{SECRET}9"}},
    ]
    for body in bodies:
        answer = await api.client.post(f"{JOBS}?dry_run=true", json=body)
        assert SECRET not in answer.text
    assert len(sealed(api)) == 1


async def test_a_mask_is_refused_as_a_secret(api: Api) -> None:
    await guarded(api)
    answer = await api.client.post(JOBS, json={"template": "guarded", "parameters": {"token": "***"}})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "parameters.token")


async def test_a_job_is_found_by_nothing_secret(api: Api) -> None:
    await guarded(api)
    for query in ({"q": "geheim"}, {"q": "***"}, {"parameter": f"token:{SECRET}"}, {"parameter": "token:***"}):
        assert (await api.client.get(JOBS, params=query)).json()["jobs"] == []


async def test_one_key_stores_one_secret(api: Api) -> None:
    assert (await api.client.post("/api/v1/templates", json=TEMPLATE)).status_code == 201
    body = {"template": "guarded", "parameters": {"token": SECRET}}
    answers = await asyncio.gather(
        *(api.client.post(JOBS, json=body, headers={"Idempotency-Key": "k"}) for _ in range(6))
    )
    [job_id] = {a.json()["job_id"] for a in answers}
    assert sealed(api) == {job_id: {"token": SECRET}}


async def test_a_retry_seals_a_new_secret_beside_the_old_one_and_retention_forgets_that(api: Api) -> None:
    job_id = await guarded(api)
    await api.client.delete(f"{JOBS}/{job_id}")
    answer = await api.client.post(f"{JOBS}/{job_id}/retry", json={"parameters": {"token": NEW}})
    assert answer.json()["parameters"] == {"token": "***", "rate": 0.5}
    job = await api.job(job_id)
    assert job.sealed is not None and job.sealed != job_id
    assert sealed(api) == {job_id: {"token": SECRET}, job.sealed: {"token": NEW}}
    retention = Retention(api.services)
    await retention.run_once()
    assert len(sealed(api)) == 2, "a change that is about to name them may be under way"
    api.clock.advance(timedelta(hours=2).total_seconds())
    await retention.run_once()
    assert sealed(api) == {job.sealed: {"token": NEW}}


async def test_a_retry_without_a_new_secret_keeps_the_old_one(api: Api) -> None:
    job_id = await guarded(api)
    await api.client.delete(f"{JOBS}/{job_id}")
    shown = (await api.client.get(f"{JOBS}/{job_id}")).json()["parameters"]
    answer = await api.client.post(f"{JOBS}/{job_id}/retry", json={"parameters": {**shown, "rate": 0.7}})
    assert answer.json()["parameters"] == {"token": "***", "rate": 0.7}
    assert (await api.job(job_id)).sealed == job_id
    assert sealed(api) == {job_id: {"token": SECRET}}


async def test_a_secret_goes_with_its_job(api: Api) -> None:
    job_id = await guarded(api)
    await api.client.delete(f"{JOBS}/{job_id}")
    api.clock.advance(timedelta(days=40).total_seconds())
    await Retention(api.services).run_once()
    assert await api.services.jobs.get(job_id) is None
    assert sealed(api) == {}
