"""A manual retry with something changed is checked as a submit is; what is refused changes nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.domain.job import Job
from app.domain.nodes import Node, NodeState
from app.domain.records import Dataset
from app.domain.resources import Vector
from tests.support.clock import NOON
from tests.unit.api.harness import Api

JOBS = "/api/v1/jobs"
POOL = Vector.from_units({"cpu_cores": 8, "memory_gb": 16, "gpu_count": 1, "storage_gb": 100})
TRAINING: dict[str, Any] = {
    "template": "ml_training_template",
    "parameters": {
        "dataset_name": "iris", "algorithm": "random_forest", "hyperparameters": {"n_estimators": 100, "max_depth": 5},
    },
    "resources": {"memory_gb": 1.001},
}  # fmt: skip


async def cancelled(api: Api, **fields: Any) -> Job:
    """A job that ended CANCELLED, as a submit made it."""
    job_id = await api.submit(**fields)
    assert (await api.client.delete(f"{JOBS}/{job_id}")).status_code == 200
    return await api.job(job_id)


async def retried(api: Api, job: Job, **body: Any) -> httpx.Response:
    return await api.client.post(f"{JOBS}/{job.id}/retry", json=body)


async def test_parameters_are_laid_over_the_jobs_own(api: Api) -> None:
    job = await cancelled(api, **TRAINING)
    changes = {"hyperparameters": {"max_depth": 8}, "dataset": "wine"}
    answer = await retried(api, job, parameters=changes, reason="deeper")
    assert answer.status_code == 200, answer.text
    after = await api.job(job.id)
    assert after.parameters == {
        **job.parameters, "dataset_name": "wine", "hyperparameters": {"n_estimators": 100, "max_depth": 8},
    }  # fmt: skip
    assert (after.name, after.resources, after.priority, after.order_key) == (
        job.name, job.resources, job.priority, job.order_key,
    )  # fmt: skip
    assert answer.json()["parameters"] == after.parameters
    [found] = (await api.client.get(JOBS, params={"q": "wine"})).json()["jobs"]
    assert found["job_id"] == job.id


async def test_steps_are_made_anew_of_changed_parameters(api: Api) -> None:
    job = await cancelled(api, template="command", parameters={"command": ["false"], "env": {"A": "1"}})
    await retried(api, job, parameters={"command": ["true", "-x"], "env": {"B": "2"}})
    [step] = (await api.job(job.id)).steps
    assert (step.command, step.env) == (("true", "-x"), {"A": "1", "B": "2"})


async def test_resources_and_priority_take_the_place_of_the_old_ones(api: Api) -> None:
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, POOL, POOL))
    job = await cancelled(api, **TRAINING)
    await retried(api, job, resources={"cpu_cores": 8}, priority="urgent")
    after = await api.job(job.id)
    assert after.resources.units()["cpu_cores"] == 8
    assert after.resources.memory_mib == job.resources.memory_mib, "exactly as it was"
    assert (after.priority, after.effective_priority) == ("urgent", "urgent")
    assert (await api.client.get("/api/v1/queue/status")).json()["queues"]["urgent"]["length"] == 1


@pytest.mark.parametrize(
    ("body", "path", "nearest"),
    [
        ({"parameters": {"algoritm": "svm"}}, "parameters.algoritm", "algorithm"),
        ({"parameters": {"algorithm": "svn"}}, "parameters.algorithm", "svm"),
        ({"parameters": {"hyperparameters": {"max_dept": 3}}}, "parameters.hyperparameters.max_dept", "max_depth"),
        ({"parameters": {"dataset_name": "../x.csv"}}, "parameters.dataset_name", None),
        ({"parameters": {"dataset_name": "irs"}}, "parameters.dataset_name", "iris"),
        ({"parameters": {"dataset": "wine", "dataset_name": "digits"}}, "parameters.dataset", None),
        ({"parameters": {"a.b": 1}}, "parameters.a.b", None),
        ({"resources": {"cpu_cores": 9}}, "resources.cpu_cores", None),
        ({"resources": {"gpu_count": -1}}, "resources.gpu_count", None),
        ({"resources": {"gpus": 1}}, "resources.gpus", None),
        ({"priority": "urgnt"}, "priority", "urgent"),
        ({"parameters": {}, "timeout": 5}, "timeout", None),
    ],
)
async def test_what_a_submit_refuses_a_retry_refuses_and_changes_nothing(
    api: Api, body: dict[str, Any], path: str, nearest: str | None
) -> None:
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, POOL, POOL))
    job = await cancelled(api, **TRAINING)
    answer = await retried(api, job, **body)
    assert answer.status_code == 422, answer.text
    errors = {e["path"]: e.get("nearest") for e in answer.json()["errors"]}
    assert path in errors, errors
    assert errors[path] == nearest or nearest is None
    assert await api.job(job.id) == job


async def test_an_unchanged_retry_asks_nothing_of_template_or_nodes(api: Api) -> None:
    """What was accepted once is tried again, though a submit would refuse it today."""
    await api.services.datasets.insert(Dataset("customers", "customers.csv", registered_at=NOON))
    job = await cancelled(api, template="ml_training_template", parameters={"dataset_name": "customers"})
    await api.client.delete("/api/v1/datasets/customers")
    small = Vector.from_units({"cpu_cores": 0.1, "memory_gb": 0.1})
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, small, small))
    assert (await retried(api, job, parameters={}, resources={})).status_code == 200
