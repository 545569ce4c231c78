"""Templates and data sets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.api.examples import REQUESTS
from app.api.schemas import definitions as shapes
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

TEMPLATES = "/api/v1/templates"
DATASETS = "/api/v1/datasets"


async def test_the_built_in_templates_are_listed(api: Api) -> None:
    body = (await api.client.get(TEMPLATES)).json()
    assert_shape(body, shapes.TemplateList)
    by_id = {t["id"]: t for t in body["templates"]}
    assert {"ml_training_template", "command", "noop"} <= by_id.keys()
    assert by_id["ml_training_template"]["name"] == "ML Model Training"
    algorithm = next(p for p in by_id["ml_training_template"]["parameters"] if p["name"] == "algorithm")
    assert (algorithm["type"], "svm" in algorithm["options"]) == ("string", True)


async def test_a_derived_template_is_created_and_used(api: Api) -> None:
    body = REQUESTS["create_template"]["inheriting"]
    answer = await api.client.post(TEMPLATES, json=body)
    assert answer.status_code == 201, answer.text
    assert_shape(answer.json(), shapes.Template)
    assert answer.json()["base_template"] == "ml_training_template"
    assert answer.json()["default_parameters"]["validation_strategy"] == "cross_validation"
    read = await api.client.get(f"{TEMPLATES}/custom_training_template", params={"version": 1})
    assert read.json() == answer.json()
    assert read.headers["etag"] == '"1"'
    job = {"template": "custom_training_template", "parameters": {"dataset_name": "iris"}}
    assert (await api.client.post("/api/v1/jobs", json=job)).status_code == 201


async def test_the_whole_form_inside_job_template_is_accepted(api: Api) -> None:
    answer = await api.client.post(TEMPLATES, json=REQUESTS["create_template"]["whole"])
    assert answer.status_code == 201, answer.text
    assert answer.json()["resource_requirements"] == {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0, "storage_gb": 10}


STEP = {"execution_steps": [{"step": "noop"}]}


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"description": "x"}, "invalid", "name"),
        ({"job_template": {"description": "x"}}, "invalid", "job_template.name"),
        ({"job_template": {"name": "a", **STEP}, "name": "b"}, "invalid", "name"),
        ({"name": "Not.An.Id", **STEP}, "invalid", "name"),
        ({"name": "a", "base_template": "ml_trainin"}, "unknown_template", "base_template"),
        ({"name": "a"}, "invalid", "execution_steps"),
        ({"name": "a", **STEP, "default_parameters": {"a.b": 1}}, "invalid", "default_parameters.a.b"),
        ({"name": "a", "execution_steps": [{"step": "noop", "timout": 3}]}, "invalid", "execution_steps[0].timout"),
        ({"name": "a", "resource_requirements": {"gpu_count": -1}}, "invalid", "resource_requirements.gpu_count"),
        ({"name": "a", **STEP, "retry_policy": {"max_attempts": 0}}, "invalid", "retry_policy.max_attempts"),
        ({"name": "a", **STEP, "parameters": [{"name": "p", "type": "text"}]}, "invalid", "parameters[0].type"),
    ],
)  # fmt: skip
async def test_a_bad_template_names_its_fault(api: Api, body: dict[str, Any], code: str, path: str) -> None:
    answer = await api.client.post(TEMPLATES, json=body)
    assert answer.status_code == 422, answer.text
    assert (answer.json()["code"], answer.json()["errors"][0]["path"]) == (code, path)


async def test_one_key_sent_twice_at_once_defines_one_template_and_answers_it_twice(api: Api) -> None:
    body, headers = {"name": "mine", **STEP}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(api.client.post(TEMPLATES, json=body, headers=headers) for _ in range(8)))
    assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}
    assert sum("idempotent-replayed" in a.headers for a in answers) == 7
    api.clock.advance(1)
    other = await api.client.post(TEMPLATES, json=body, headers={"Idempotency-Key": "another"})
    assert (other.status_code, other.json()["code"]) == (409, "template_exists")


async def test_taken_ids_are_refused_with_their_own_codes(api: Api) -> None:
    body = {"name": "mine", **STEP}
    assert (await api.client.post(TEMPLATES, json=body)).status_code == 201
    api.clock.advance(1)
    again = await api.client.post(TEMPLATES, json=body)
    assert (again.status_code, again.json()["code"]) == (409, "template_exists")
    built_in = await api.client.post(TEMPLATES, json={"name": "noop", **STEP})
    assert (built_in.status_code, built_in.json()["code"]) == (409, "built_in")


async def test_a_keyed_template_is_answered_again(api: Api) -> None:
    body, headers = {"name": "mine", **STEP}, {"Idempotency-Key": "t"}
    first = await api.client.post(TEMPLATES, json=body, headers=headers)
    again = await api.client.post(TEMPLATES, json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)


async def test_a_missing_template_names_the_nearest(api: Api) -> None:
    answer = await api.client.get(f"{TEMPLATES}/nooop")
    assert (answer.status_code, answer.json()["nearest"]) == (404, "noop")
    assert (await api.client.get(f"{TEMPLATES}/noop", params={"version": 9})).status_code == 404
    assert (await api.client.get(f"{TEMPLATES}/a.b")).status_code == 404


async def test_a_secrets_default_is_never_shown(api: Api) -> None:
    body = {
        "name": "mine", **STEP, "parameters": [{"name": "token", "type": "secret", "default": "hunter2"}],
        "default_parameters": {"token": "hunter3"},
    }  # fmt: skip
    answer = await api.client.post(TEMPLATES, json=body)
    assert answer.status_code == 201, answer.text
    assert "hunter" not in answer.text


async def test_a_data_set_is_registered_read_and_forgotten(api: Api) -> None:
    answer = await api.client.post(DATASETS, json=REQUESTS["create_dataset"]["a file"])
    assert answer.status_code == 201, answer.text
    assert_shape(answer.json(), shapes.Dataset)
    assert (await api.client.get(f"{DATASETS}/churn")).json() == answer.json()
    listing = (await api.client.get(DATASETS)).json()
    assert_shape(listing, shapes.DatasetList)
    assert [d["name"] for d in listing["datasets"]][:1] == ["iris"]
    assert listing["datasets"][-1] == answer.json()
    api.clock.advance(1)
    taken = await api.client.post(DATASETS, json=REQUESTS["create_dataset"]["a file"])
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_exists")
    assert (await api.client.delete(f"{DATASETS}/churn")).status_code == 204
    gone = await api.client.get(f"{DATASETS}/churn")
    assert gone.status_code == 404
    assert (await api.client.delete(f"{DATASETS}/churn")).status_code == 404


async def test_a_built_in_data_set_stays(api: Api) -> None:
    assert (await api.client.get(f"{DATASETS}/iris")).json()["target_column"] == "species"
    for answer in (
        await api.client.delete(f"{DATASETS}/iris"),
        await api.client.post(DATASETS, json={"name": "iris", "path": "a.csv"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "built_in")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.csv", "a/../../x.csv", "s3://b/x.csv", "x.txt", "", "~/x.csv"])
async def test_a_path_outside_the_data_root_is_refused(api: Api, path: str) -> None:
    answer = await api.client.post(DATASETS, json={"name": "mine", "path": path})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_dataset")
    assert answer.json()["errors"][0]["path"] == "path"
    assert len((await api.client.get(DATASETS)).json()["datasets"]) == 5
