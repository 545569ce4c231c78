"""What a submit names must exist as far as the service can know."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.errors import Invalid
from app.domain.nodes import Node, NodeState
from app.domain.records import Dataset
from app.domain.resources import Vector
from app.domain.specification import JobRequest
from app.operations.plan import plan
from tests.support.clock import NOON
from tests.unit.api.harness import Api, running_api

JOBS = "/api/v1/jobs"
POOL = Vector.from_units({"cpu_cores": 8, "memory_gb": 16, "storage_gb": 100})


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


TYPED = {"name": "mine", "execution_steps": [{"step": "noop"}, {"step": "model_trainning"}]}
"""Its second step is none that the service has."""
OFFERED = '{"gpu": {"cpu_cores": 8, "memory_gb": 16, "max": 1}}'


async def a_node(api: Api, **facts: str) -> None:
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, POOL, POOL, facts=facts))
    api.clock.advance(2)


async def test_a_step_that_no_node_offers_is_refused_in_a_template(api: Api) -> None:
    assert (await api.client.post("/api/v1/templates", json=TYPED)).status_code == 201, "nobody knows what nodes offer"
    await a_node(api, functions="fit score")
    for answer in (
        await api.client.put("/api/v1/templates/mine", json={**TYPED, "description": "x"}),
        await api.client.post("/api/v1/templates", json={"job_template": {**TYPED, "name": "other"}}),
    ):
        [error] = answer.json()["errors"]
        assert answer.status_code == 422
        assert error["path"].removeprefix("job_template.") == "execution_steps[1].step"
        assert error["nearest"] == "model_training"
    steps = [{"step": "score"}, {"step": "command"}, {"step": "train", "command": ["true"]}]
    body = {"name": "fine", "base_template": "command", "execution_steps": steps}
    assert (await api.client.post("/api/v1/templates", json=body)).status_code == 201


async def test_no_job_and_no_workflow_is_made_of_a_step_that_no_node_offers(api: Api) -> None:
    await api.client.post("/api/v1/templates", json=TYPED)
    await a_node(api, functions="")
    error = await refusal(api, "mine")
    assert (error["path"], error["nearest"]) == ("template", "model_training")
    steps = [{"step_id": "a", "job_template": "noop"}, {"step_id": "b", "job_template": "mine"}]
    answer = await api.client.post("/api/v1/workflows", json={"workflow_name": "w", "steps": steps})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["path"]) == (422, "steps[1].job_template")


async def test_what_was_accepted_goes_on_whatever_nodes_offer_now(api: Api) -> None:
    """A trial of a sweep, a step of a workflow, a retry: its version is pinned."""
    await api.client.post("/api/v1/templates", json=TYPED)
    await a_node(api, functions="")
    assert (await plan(api.services, JobRequest("mine"), 1)).template.id == "mine"
    with pytest.raises(Invalid):
        await plan(api.services, JobRequest("mine"))


async def test_a_step_that_a_node_yet_to_be_created_may_offer_is_accepted() -> None:
    async with running_api(NODE_TYPES=OFFERED) as api:
        await a_node(api, functions="")
        assert (await api.client.post("/api/v1/templates", json=TYPED)).status_code == 201
        await api.submit(template="mine")


@pytest.mark.parametrize(("facts", "status"), [({}, 422), ({"torch": "2.3"}, 201)])
async def test_cnn_needs_a_node_with_torch(api: Api, facts: dict[str, str], status: int) -> None:
    body = {"template": "ml_training", "parameters": {"algorithm": "cnn"}}
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, POOL, POOL, facts=facts))
    answer = await api.client.post(JOBS, json=body)
    assert answer.status_code == status, answer.text
