"""Templates over HTTP: both forms of creation, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from app.api.examples import REQUESTS
from app.api.schemas import definitions as shapes
from app.domain import nearest
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

TEMPLATES = "/api/v1/templates"


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
HEAVY = [{"name": f"p{n}", "type": "string", "pattern": r"\w{100}"} for n in range(9)]
ALIASES = [f"p{n}" for n in range(1_000)]


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
        ({"name": "a", "base_template": "a"}, "template_cycle", "base_template"),
        ({"name": "a", "base_template": "noop", "base_version": 2}, "unknown_template", "base_version"),
        ({"name": "a", **STEP, "base_version": 1}, "invalid", "base_version"),
        ({"name": "a", **STEP, "limits": ["gpus"]}, "invalid", "limits[0]"),
        ({"job_template": {"name": "a", **STEP, "parameters": [{"name": "p", "type": "integer", "default": "x"}]}},
         "invalid", "job_template.parameters[0].default"),
        ({"job_template": {"name": "a", "base_template": "nop"}}, "unknown_template", "job_template.base_template"),
        ({"job_template": {"name": "A b", **STEP}}, "invalid", "job_template.name"),
        ({"name": "n" * 10_000, **STEP}, "invalid", "name"),
        ({"name": "", **STEP}, "invalid", "name"),
        ({"name": "a", **STEP, "parameters": [{"name": "token", "type": "secret", "default": "hunter2"}]},
         "invalid", "parameters[0].default"),
        ({"name": "a", **STEP, "parameters": [{"name": "p", "type": "string", "pattern": "(a+)+(?=b)"}]},
         "invalid", "parameters[0].pattern"),
        ({"name": "a", **STEP, "parameters": [{"name": "p", "type": "string", "pattern": "a" * 501}]},
         "invalid", "parameters[0].pattern"),
        ({"name": "a", **STEP, "parameters": [{"name": "p", "type": "string", "pattern": "((a{99}){99}){99}"}]},
         "invalid", "parameters[0].pattern"),
        ({"name": "a", **STEP, "parameters": HEAVY},
         "invalid", "parameters"),
        ({"name": "a", **STEP, "parameters": [{"name": "p", "type": "string", "aliases": ALIASES}]},
         "invalid", "parameters"),
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
    assert "PUT /api/v1/templates/mine" in again.json()["detail"]
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


async def test_a_template_of_ten_megabytes_is_too_large(api: Api) -> None:
    body = {"name": "big", **STEP, "default_parameters": {"p": "x" * (10 << 20)}}
    for way in (api.client.post(TEMPLATES, json=body), api.client.put(f"{TEMPLATES}/noop", json=body)):
        answer = await way
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


SEED = {
    "job_template": {
        "name": "ml_training_template",
        "description": "Standard ML training job",
        "default_parameters": {
            "algorithm": "random_forest",
            "max_epochs": 100,
            "batch_size": 32,
            "learning_rate": 0.001,
        },
        "resource_requirements": {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0, "storage_gb": 10},
        "execution_steps": [
            {"step": "data_preparation", "timeout": 300},
            {"step": "model_training", "timeout": 1800},
            {"step": "model_evaluation", "timeout": 600},
            {"step": "model_storage", "timeout": 300},
        ],
    }
}
"""The schema of the contract, verbatim."""


async def test_the_schema_of_the_contract_is_taken_verbatim_under_any_other_name(api: Api) -> None:
    taken = await api.client.post(TEMPLATES, json=SEED)
    assert (taken.status_code, taken.json()["code"]) == (409, "built_in")
    body = {"job_template": {**SEED["job_template"], "name": "ours"}}
    answer = await api.client.post(TEMPLATES, json=body)
    assert answer.status_code == 201, answer.text
    for name, value in SEED["job_template"].items():
        if name == "execution_steps":
            assert [{k: s[k] for k in ("step", "timeout")} for s in answer.json()[name]] == value
        elif name != "name":
            assert answer.json()[name] == value
    job = {"template": "ours", "parameters": {"dataset_name": "iris"}}
    assert (await api.client.post("/api/v1/jobs", json=job)).status_code == 201


async def test_the_listing_has_the_shape_of_the_contract(api: Api) -> None:
    for template in (await api.client.get(TEMPLATES)).json()["templates"]:
        assert {"id", "name", "description", "category", "parameters"} <= template.keys()
        for parameter in template["parameters"]:
            assert {"name", "type", "required", "options"} <= parameter.keys()


async def test_however_much_is_wrong_a_refusal_is_short(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def counted(name: str, known: Iterable[str]) -> None:
        nonlocal compared
        compared += 1

    monkeypatch.setattr(nearest, "nearest_name", counted)
    many = {f"p.{n}": 1 for n in range(5_000)}
    unknown = {name.replace(".", "_"): 1 for name in many}
    bodies = [
        ("/api/v1/templates", {"name": "a", **STEP, "default_parameters": many}),
        ("/api/v1/templates", {"name": "a", **STEP, **unknown}),
        ("/api/v1/templates", {"name": "a", **STEP, "limits": list(unknown)}),
        (
            "/api/v1/templates",
            {"name": "a", "execution_steps": [{"step": "a", "command": [f"${{{{ {n} }}}}" for n in unknown]}]},
        ),
        ("/api/v1/jobs", {"template": "noop", "parameters": unknown}),
        ("/api/v1/jobs", {"template": "ml_training", "parameters": {"hyperparameters": unknown}}),
        ("/api/v1/jobs", {"template": "noop", "metadata": many}),
    ]
    for path, body in bodies:
        answer = await api.client.post(path, json=body)
        assert (answer.status_code, 10 <= len(answer.json()["errors"]) <= 100) == (422, True), answer.text[:300]
        assert len(answer.content) < 50_000
    assert compared <= 100 * len(bodies)
