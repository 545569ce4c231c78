"""Secrets of workflows in a real database: in the collection `secrets`, and in no other document of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bson import json_util
from pymongo import AsyncMongoClient

from app.domain.job import Job
from app.domain.records import JobQuery
from app.domain.templates import Parameter, Step, TemplateDraft
from app.domain.workflows.definition import Definition, InputDefinition, StepDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import Workflow
from app.operations.templates import create_template
from app.operations.workflows import controlling, creating, scheduling
from app.services import Services
from app.storage.graph import MongoDependencyGraph
from app.storage.jobs import MongoJobStore
from app.storage.mongo import Database
from app.storage.secrets import MongoSecretStore
from app.storage.workflows import MongoDefinitionStore, MongoScheduleStore, MongoWorkflowStore
from tests.support.clock import FixedClock
from tests.support.memory import ends
from tests.unit.api.harness import FakeHealth, memory_services

FIRST, SECOND, NIGHTLY = "Geheim-1234", "Neuer-5678", "Nacht-9012"
LOGIN = TemplateDraft("login", parameters=(Parameter("token", "secret"),), execution_steps=(Step("noop"),))
DEFINITION = Definition(
    "guarded",
    (
        StepDefinition("a", "login", parameters={"token": "${{ inputs.token }}"}),
        StepDefinition("b", "login", parameters={"token": "${{ inputs.token }}"}, depends_on=("a",), for_each=(1, 2)),
    ),
    inputs={"token": InputDefinition("secret")},
)
ME = creating.Origin("default", "ann")


@pytest.fixture
async def services(mongo: Database) -> Services:
    made = replace(
        memory_services(FixedClock(), FakeHealth()),
        jobs=MongoJobStore(mongo),
        graph=MongoDependencyGraph(mongo),
        workflows=MongoWorkflowStore(mongo),
        definitions=MongoDefinitionStore(mongo),
        schedules=MongoScheduleStore(mongo),
        secrets=MongoSecretStore(mongo),
    )
    await create_template(made, LOGIN)
    return made


async def holding(mongo_uri: str, database: str, *secrets: str) -> dict[str, set[str]]:
    """The collections in whose raw documents each of these stands."""
    found: dict[str, set[str]] = {secret: set() for secret in secrets}
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        for name in await client[database].list_collection_names():
            async for document in client[database][name].find():
                text = json_util.dumps(document) + str(document)
                for secret in secrets:
                    found[secret] |= {name} if secret in text else set()
    return found


async def given(services: Services, workflow: Workflow, step_id: str) -> set[str | None]:
    """What the jobs of a step are given."""
    jobs = [job for job in await jobs_of(services, workflow) if job.step_id == step_id and not job.terminal]
    return {(await services.secrets.get(job.sealed or "") or {}).get("token") for job in jobs}


async def jobs_of(services: Services, workflow: Workflow) -> list[Job]:
    return list((await services.jobs.find(JobQuery(workflow_id=workflow.id))).jobs)


async def test_no_other_document_holds_one(services: Services, mongo_uri: str, database: str) -> None:
    """A whole life: run, failed, run again with another secret, fanned out; and a schedule that fires."""
    await creating.create(services, DEFINITION, 1, ME, start=False)
    workflow = await creating.run_stored(services, "guarded", {"token": FIRST}, ME)
    [first] = await jobs_of(services, workflow)
    assert await given(services, workflow, "a") == {FIRST}
    await ends(services, first.id, "FAILED")
    await controlling.rerun(services, workflow.id, "a", {"token": SECOND}, None, "ann")
    assert await given(services, workflow, "a") == {SECOND}
    [second] = [job for job in await jobs_of(services, workflow) if not job.terminal]
    await ends(services, second.id)
    assert await given(services, workflow, "b") == {FIRST}, "a rerun speaks of its step alone"
    now = services.clock.now()
    asked = Schedule("nightly", "guarded", "0 2 * * *", "UTC", "run_once", "default", now, None, {"token": NIGHTLY})
    schedule = await scheduling.create_schedule(services, asked)
    assert await scheduling.fire(services, now + timedelta(days=2)) == 1
    after = await services.schedules.get("nightly")
    assert after is not None and after.last_error is None and after.sealed == schedule.sealed
    only = {"secrets"}
    assert await holding(mongo_uri, database, FIRST, SECOND, NIGHTLY) == {FIRST: only, SECOND: only, NIGHTLY: only}


async def test_one_in_clear_would_be_found(services: Services, mongo_uri: str, database: str) -> None:
    """The negative control: a definition of an earlier release, a run of which was handed a plain input."""
    text = InputDefinition("string")
    steps = (StepDefinition("a", "login", parameters={"token": FIRST}),)
    await services.definitions.define(
        replace(DEFINITION, steps=steps, inputs={"token": text}), {"login": 1}, services.clock.now()
    )
    await creating.run_stored(services, "guarded", {"token": SECOND}, ME)
    found = await holding(mongo_uri, database, FIRST, SECOND)
    assert found == {FIRST: {"workflow_definitions", "secrets"}, SECOND: {"workflows"}}
