"""The life of a template over HTTP: versions, archive, bases and their versions, explain, diff, origins of jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.api.schemas import definitions as shapes
from app.api.schemas import origins
from app.operations import templates as operations
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

TEMPLATES = "/api/v1/templates"
STEP = {"execution_steps": [{"step": "noop"}]}


async def make(api: Api, name: str = "mine", **fields: Any) -> dict[str, Any]:
    answer = await api.client.post(TEMPLATES, json={"name": name, **(fields or STEP)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def revised(api: Api, name: str = "mine", headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    return await api.client.put(f"{TEMPLATES}/{name}", json={**STEP, **fields}, headers=headers or {})


async def submitted(api: Api, template: str, **fields: Any) -> httpx.Response:
    return await api.client.post("/api/v1/jobs", json={"template": template, **fields})


async def test_a_revision_is_a_new_version_and_the_old_one_stays(api: Api) -> None:
    first = await make(api, timeout=5, **STEP)
    api.clock.advance(1)
    answer = await revised(api, timeout=6)
    assert answer.status_code == 200, answer.text
    assert_shape(answer.json(), shapes.Template)
    assert (answer.json()["version"], answer.json()["timeout"], answer.headers["etag"]) == (2, 6, '"2"')
    assert (await api.client.get(f"{TEMPLATES}/mine")).json() == answer.json()
    assert (await api.client.get(f"{TEMPLATES}/mine", params={"version": 1})).json() == first
    listed = (await api.client.get(f"{TEMPLATES}/mine/versions")).json()
    assert_shape(listed, shapes.TemplateVersionList)
    assert [v["version"] for v in listed["versions"]] == [2, 1]
    mine = [t for t in (await api.client.get(TEMPLATES)).json()["templates"] if t["id"] == "mine"]
    assert mine == [answer.json()]


async def test_a_revision_says_everything_anew(api: Api) -> None:
    await make(api, timeout=5, **STEP)
    assert (await revised(api, description="x")).json()["timeout"] is None


async def test_the_whole_form_revises_too_and_may_repeat_the_name(api: Api) -> None:
    await make(api)
    body = {"job_template": {"name": "mine", "description": "x", **STEP}}
    assert (await api.client.put(f"{TEMPLATES}/mine", json=body)).json()["version"] == 2
    body["job_template"]["name"] = "other"
    other = await api.client.put(f"{TEMPLATES}/mine", json=body)
    assert (other.status_code, other.json()["errors"][0]["path"]) == (422, "job_template.name")


async def test_saying_the_same_again_makes_no_version(api: Api) -> None:
    first = await make(api, timeout=5, **STEP)
    api.clock.advance(1)
    assert (await revised(api, timeout=5)).json() == first


async def test_versions_are_paged(api: Api) -> None:
    await make(api)
    for n in range(4):
        assert (await revised(api, description=f"{n}")).status_code == 200
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.client.get(f"{TEMPLATES}/mine/versions", params={"limit": "2", **cursor})).json()
        seen += [v["version"] for v in page["versions"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [5, 4, 3, 2, 1]
    wrong = await api.client.get(f"{TEMPLATES}/noop/versions", params=cursor)
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "cursor")
    assert (await api.client.get(f"{TEMPLATES}/mne/versions")).json()["nearest"] == "mine"


async def test_templates_are_paged(api: Api) -> None:
    for name in ("a1", "n1", "z1"):
        await make(api, name)
    whole = [t["id"] for t in (await api.client.get(TEMPLATES)).json()["templates"]]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.client.get(TEMPLATES, params={"limit": "3", **cursor})).json()
        assert_shape(page, shapes.TemplateList)
        seen += [t["id"] for t in page["templates"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == whole == sorted(whole)


async def test_a_page_of_large_templates_is_shorter(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        await make(api, f"z{n}", **STEP, default_parameters={"p": "x" * 10_000})
    whole = [t["id"] for t in (await api.client.get(TEMPLATES)).json()["templates"]]
    monkeypatch.setattr(operations, "PAGE_BYTES", 25_000)
    monkeypatch.setattr(operations, "PART", 2)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        answer = await api.client.get(TEMPLATES, params=cursor)
        assert len(answer.content) < 60_000
        seen += [t["id"] for t in answer.json()["templates"]]
        pages += 1
        if answer.json()["next_cursor"] is None:
            break
        cursor = {"cursor": answer.json()["next_cursor"]}
    assert (seen, pages > 3) == (whole, True)


async def test_if_match_decides_between_two_revisions_at_once(api: Api) -> None:
    await make(api)
    both = await asyncio.gather(*(revised(api, headers={"If-Match": '"1"'}, description=d) for d in "ab"))
    assert sorted(a.status_code for a in both) == [200, 412]
    [stale] = [a.json() for a in both if a.status_code == 412]
    assert (stale["code"], stale["current"]) == ("stale_version", "2")
    assert [v["version"] for v in (await api.client.get(f"{TEMPLATES}/mine/versions")).json()["versions"]] == [2, 1]


async def test_two_revisions_at_once_without_it_are_two_versions(api: Api) -> None:
    await make(api)
    answers = await asyncio.gather(*(revised(api, description=f"{n}") for n in range(8)))
    assert sorted(a.json()["version"] for a in answers) == list(range(2, 10))


async def test_a_revision_sent_again_after_a_lost_answer_is_answered_with_what_it_made(api: Api) -> None:
    await make(api)
    first = await revised(api, headers={"If-Match": '"1"'}, description="x")
    again = await revised(api, headers={"If-Match": '"1"'}, description="x")
    assert (again.status_code, again.json()) == (200, first.json())


async def test_a_keyed_revision_is_answered_again(api: Api) -> None:
    await make(api)
    first = await revised(api, headers={"Idempotency-Key": "k"}, description="x")
    await revised(api, description="y")
    again = await revised(api, headers={"Idempotency-Key": "k"}, description="x")
    assert (again.json(), again.headers["etag"]) == (first.json(), '"2"')
    assert (await api.client.get(f"{TEMPLATES}/mine")).json()["version"] == 3


async def test_what_is_built_in_is_neither_revised_nor_archived(api: Api) -> None:
    for answer in (await revised(api, "noop"), await api.client.delete(f"{TEMPLATES}/noop")):
        assert (answer.status_code, answer.json()["code"]) == (409, "built_in")
    for answer in (await revised(api, "mne"), await api.client.delete(f"{TEMPLATES}/nooop")):
        assert answer.status_code == 404


async def test_an_archived_template_is_listed_no_more_and_named_by_nothing_new(api: Api) -> None:
    await make(api)
    await make(api, "above", base_template="mine")
    answer = await api.client.delete(f"{TEMPLATES}/mine")
    assert answer.status_code == 200, answer.text
    assert_shape(answer.json(), shapes.Template)
    assert answer.json()["archived_at"] is not None
    api.clock.advance(1)
    assert (await api.client.delete(f"{TEMPLATES}/mine")).json() == answer.json()
    ids = [t["id"] for t in (await api.client.get(TEMPLATES)).json()["templates"]]
    with_archived = [
        t["id"] for t in (await api.client.get(TEMPLATES, params={"include": "archived"})).json()["templates"]
    ]
    assert "mine" not in ids
    assert "mine" in with_archived
    assert (await api.client.get(f"{TEMPLATES}/mine")).json() == answer.json()
    job = await submitted(api, "mine")
    assert (job.status_code, job.json()["code"], job.json()["errors"][0]["path"]) == (
        422,
        "template_archived",
        "template",
    )
    base = await api.client.post(TEMPLATES, json={"name": "new", "base_template": "mine"})
    assert (base.json()["code"], base.json()["errors"][0]["path"]) == ("template_archived", "base_template")
    taken = await api.client.post(TEMPLATES, json={"name": "mine", **STEP})
    assert (taken.status_code, taken.json()["code"]) == (409, "template_exists")
    near = await submitted(api, "mone")
    assert near.json()["errors"][0].get("nearest") != "mine"
    assert (await submitted(api, "above")).status_code == 201


async def test_a_revision_brings_an_archived_template_back(api: Api) -> None:
    await make(api)
    await api.client.delete(f"{TEMPLATES}/mine")
    back = await revised(api)
    assert (back.json()["version"], back.json()["archived_at"]) == (2, None)
    assert (await submitted(api, "mine")).status_code == 201
    versions = (await api.client.get(f"{TEMPLATES}/mine/versions")).json()["versions"]
    assert [v["archived_at"] is None for v in versions] == [True, False]


async def test_archiving_keeps_if_match(api: Api) -> None:
    await make(api)
    await revised(api, description="x")
    stale = await api.client.delete(f"{TEMPLATES}/mine", headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["current"]) == (412, "2")
    assert (await api.client.delete(f"{TEMPLATES}/mine", headers={"If-Match": '"2"'})).status_code == 200


async def test_a_job_keeps_its_version_and_is_retried_with_it(api: Api) -> None:
    await make(api, **STEP, default_parameters={"rate": 1})
    job_id = (await submitted(api, "mine")).json()["job_id"]
    await revised(api, default_parameters={"speed": 2})
    await api.client.delete(f"{TEMPLATES}/mine")
    assert (await api.job(job_id)).template_version == 1
    await api.client.delete(f"/api/v1/jobs/{job_id}")
    retried = await api.client.post(f"/api/v1/jobs/{job_id}/retry", json={"parameters": {"rate": 5}})
    assert retried.status_code == 200, retried.text
    assert (retried.json()["parameters"], retried.json()["template_version"]) == ({"rate": 5}, 1)


async def test_a_derived_template_takes_a_new_version_of_its_base_with_its_own_next(api: Api) -> None:
    await make(api, **STEP, default_parameters={"rate": 1})
    above = {"base_template": "mine", "default_parameters": {"size": 3}}
    await make(api, "above", **above)
    await revised(api, default_parameters={"rate": 2})
    still = (await api.client.get(f"{TEMPLATES}/above")).json()
    assert (still["base_version"], still["default_parameters"]) == (1, {"rate": 1, "size": 3})
    held = await api.client.put(f"{TEMPLATES}/above", json={**above, "base_version": 1, "description": "x"})
    assert held.json()["base_version"] == 1
    rebased = await api.client.put(f"{TEMPLATES}/above", json=above)
    assert (rebased.json()["version"], rebased.json()["base_version"]) == (3, 2)
    assert rebased.json()["default_parameters"] == {"rate": 2, "size": 3}


async def test_a_cycle_is_refused_with_its_way_and_a_stack_has_an_end(api: Api) -> None:
    await make(api, "t1")
    for n in range(2, 11):
        await make(api, f"t{n}", base_template=f"t{n - 1}")
    round_way = await api.client.put(f"{TEMPLATES}/t2", json={"base_template": "t4"})
    assert (round_way.status_code, round_way.json()["code"]) == (422, "template_cycle")
    assert "t2 → t4 → t3 → t2" in round_way.json()["errors"][0]["message"]
    high = await api.client.post(TEMPLATES, json={"name": "t11", "base_template": "t10"})
    assert (high.status_code, high.json()["errors"][0]["path"]) == (422, "base_template")
    assert "at most 10 layers" in high.json()["errors"][0]["message"]


async def test_explain_tells_the_layer_of_each_value(api: Api) -> None:
    await make(api, "vision", base_template="ml_training_template", custom_parameters={"algorithm": "svm"})
    await make(api, "mine", base_template="vision", custom_parameters={"hyperparameters": {"C": 2}})
    answer = await api.client.get(f"{TEMPLATES}/mine/explain")
    assert_shape(answer.json(), origins.TemplateExplanation)
    assert answer.json()["layers"] == ["mine@1", "vision@1", "ml_training_template@1"]
    values = {v["path"]: v for v in answer.json()["values"]}
    assert values["default_parameters.hyperparameters.C"]["layer"] == "mine@1"
    assert values["default_parameters.algorithm"]["layer"] == "vision@1"
    assert values["default_parameters.algorithm"]["hidden"] == [
        {"layer": "ml_training_template@1", "value": "random_forest"}
    ]
    await api.client.put(f"{TEMPLATES}/mine", json={"base_template": "vision"})
    old = await api.client.get(f"{TEMPLATES}/mine/explain", params={"version": 1})
    assert old.json() == answer.json()
    assert (await api.client.get(f"{TEMPLATES}/mine/explain", params={"version": 9})).status_code == 404
    built_in = (await api.client.get(f"{TEMPLATES}/command/explain")).json()
    assert {v["layer"] for v in built_in["values"] if v["source"] == "template"} == {"command@1"}


async def test_versions_are_compared(api: Api) -> None:
    await make(api, **STEP, default_parameters={"h": {"a": 1, "b": 2}})
    await revised(api, default_parameters={"h": {"a": 1, "b": 3}}, timeout=9)
    await revised(api, timeout=9)
    answer = await api.client.get(f"{TEMPLATES}/mine/diff", params={"from": 1, "to": 2})
    assert_shape(answer.json(), shapes.TemplateDiff)
    assert answer.json()["changes"] == [
        {"path": "default_parameters.h.b", "kind": "changed", "before": 2, "after": 3},
        {"path": "timeout", "kind": "changed", "before": None, "after": 9},
    ]
    newest = (await api.client.get(f"{TEMPLATES}/mine/diff")).json()
    assert (newest["from"], newest["to"]) == (2, 3)
    assert [c["kind"] for c in newest["changes"]] == ["removed", "removed"]
    assert (await api.client.get(f"{TEMPLATES}/noop/diff")).json()["changes"] == []
    assert (await api.client.get(f"{TEMPLATES}/mine/diff", params={"from": 7})).status_code == 404


async def test_the_origins_of_a_job_are_told_before_and_after_it_is_submitted(api: Api) -> None:
    await make(api, "mine", base_template="ml_training_template", custom_parameters={"algorithm": "svm"})
    body = {"template": "mine", "parameters": {"dataset": "iris"}, "resources": {"cpu_cores": 1}}
    preview = (await api.client.post("/api/v1/jobs?dry_run=true", json=body)).json()["origins"]
    job_id = (await api.client.post("/api/v1/jobs", json=body)).json()["job_id"]
    answer = await api.client.get(f"/api/v1/jobs/{job_id}/origins")
    assert_shape(answer.json(), origins.JobOrigins)
    assert answer.json()["values"] == preview
    assert (answer.json()["template"], answer.json()["template_version"]) == ("mine", 1)
    values = {v["path"]: v for v in answer.json()["values"]}
    assert (values["parameters.dataset_name"]["source"], values["parameters.dataset_name"]["seq"]) == ("request", 1)
    assert values["parameters.algorithm"]["layer"] == "mine@1"
    assert values["resources.memory_gb"]["layer"] == "ml_training_template@1"
    assert values["timeout"]["setting"] == "JOB_TIMEOUT"
    await api.client.delete(f"/api/v1/jobs/{job_id}")
    await api.client.post(f"/api/v1/jobs/{job_id}/retry", json={"parameters": {"algorithm": "knn"}})
    retried = {v["path"]: v for v in (await api.client.get(f"/api/v1/jobs/{job_id}/origins")).json()["values"]}
    assert (retried["parameters.algorithm"]["source"], retried["parameters.algorithm"]["seq"]) == ("retry", 3)
    assert retried["parameters.dataset_name"]["source"] == "request"
    assert (await api.client.get("/api/v1/jobs/job_no/origins")).status_code == 404
