"""What a submit names must exist as far as the service can know; and what is secret is never answered."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.nodes import Node, NodeState
from app.domain.records import Dataset
from app.domain.resources import Vector
from tests.support.clock import NOON
from tests.unit.api.harness import Api

JOBS = "/api/v1/jobs"
POOL = Vector.from_units({"cpu_cores": 8, "memory_gb": 16, "storage_gb": 100})
SECRET_TEMPLATE = {
    "name": "guarded",
    "description": "uses a token",
    "parameters": [{"name": "token", "type": "secret"}, {"name": "rate", "type": "number"}],
    "execution_steps": [{"step": "call", "command": ["true"], "env": {"TOKEN": "${{ parameters.token }}"}}],
}


async def refusal(api: Api, template: str, **parameters: Any) -> dict[str, Any]:
    answer = await api.client.post(JOBS, json={"template": template, "parameters": parameters})
    assert answer.status_code == 422, answer.text
    assert (await api.client.get(JOBS)).json()["jobs"] == []
    [error] = answer.json()["errors"]
    return dict(error)


async def test_a_data_set_that_is_neither_registered_nor_a_file_is_refused(api: Api) -> None:
    await api.services.datasets.insert(Dataset("customers", "customers.csv", registered_at=NOON))
    for name, near in (("irs", "iris"), ("custmers", "customers"), ("iris.txt", "iris")):
        error = await refusal(api, "ml_training_template", dataset_name=name)
        assert (error["path"], error["nearest"]) == ("parameters.dataset_name", near)
        assert "a file ends in .csv or .parquet" in error["message"]
    for name in ("customers", "sub/some.parquet", "SOME.CSV"):
        await api.submit(template="ml_training_template", parameters={"dataset_name": name})


async def test_a_model_of_a_job_that_does_not_exist_is_refused(api: Api) -> None:
    error = await refusal(api, "model_evaluation", model="job_nope/model.skops")
    assert error["path"] == "parameters.model"
    assert "there is no job job_nope" in error["message"]
    parent = await api.submit()
    await api.submit(template="model_evaluation", parameters={"model": f"{parent}/model.skops"}, dependencies=[parent])


@pytest.mark.parametrize(("facts", "status"), [({}, 422), ({"torch": "2.3"}, 201)])
async def test_cnn_needs_a_node_with_torch(api: Api, facts: dict[str, str], status: int) -> None:
    body = {"template": "ml_training", "parameters": {"algorithm": "cnn"}}
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, POOL, POOL, facts=facts))
    answer = await api.client.post(JOBS, json=body)
    assert answer.status_code == status, answer.text


async def test_a_secret_is_stored_for_the_run_and_shown_to_nobody(api: Api) -> None:
    assert (await api.client.post("/api/v1/templates", json=SECRET_TEMPLATE)).status_code == 201
    body = {"template": "guarded", "parameters": {"token": "Geheim-1234", "rate": 0.5}}
    preview = await api.client.post(f"{JOBS}?dry_run=true", json=body)
    job_id = (await api.client.post(JOBS, json=body)).json()["job_id"]
    whole = await api.client.get(f"{JOBS}/{job_id}")
    assert whole.json()["parameters"] == preview.json()["parameters"] == {"token": "***", "rate": 0.5}
    answers = [preview, whole, await api.client.get(JOBS)]
    assert not any("geheim" in answer.text.lower() for answer in answers)
    for query in ("geheim", "geheim-1234"):
        assert (await api.client.get(JOBS, params={"q": query})).json()["jobs"] == []
    assert (await api.job(job_id)).parameters["token"] == "Geheim-1234"
