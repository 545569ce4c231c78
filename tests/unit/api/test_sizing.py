"""How much a job gets and why: in a dry run, on the job, and on its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.api.schemas import jobs as shapes
from app.domain import transitions
from app.domain.nodes import Node, NodeState
from app.domain.records import Dataset, RunSummary
from app.domain.resources import Vector
from app.domain.sizing.features import Features, facts_of, features_of
from app.domain.transitions import RunEnd, Stamp
from tests.contract.stores.test_runs import RUN
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape

JOBS = "/api/v1/jobs"
TRAINING: dict[str, Any] = {"template": "ml_training_template", "parameters": {"dataset_name": "iris"}}
FOREST = features_of({"algorithm": "random_forest"}, facts_of("iris", None))
OWN = {"name": "own", "base_template": "ml_training_template", "resource_requirements": {"memory_gb": 16}}


async def dry_run(api: Api, body: dict[str, Any] = TRAINING, **fields: Any) -> dict[str, Any]:
    answer = await api.client.post(JOBS, json={**body, **fields}, params={"dry_run": "true"})
    assert answer.status_code == 200, answer.text
    assert_shape(answer.json(), shapes.JobPlan)
    return dict(answer.json())


def a_summary(n: int, **changes: Any) -> RunSummary:
    """A training of 300 MiB on iris that asked for 4 GB."""
    asked = Vector(2_000, 4_096, 0, 10)
    run = replace(RUN, job_id=f"job_{n}", template="ml_training_template", algorithm="random_forest", asked=asked)
    run = replace(run, peak_memory_mib=300.0, cpu_seconds=9.0, run_seconds=10.0, features=FOREST, sized="prior")
    return replace(run, finished_at=run.finished_at + timedelta(seconds=n), **changes)


async def ran(api: Api, count: int, **changes: Any) -> None:
    for n in range(count):
        await api.services.runs.insert(a_summary(n, **changes))


async def node(api: Api, **units: float) -> None:
    capacity = Vector.from_units({"cpu_cores": 64, "memory_gb": 256, "gpu_count": 8, "storage_gb": 1_000, **units})
    await api.services.nodes.register(Node("n", NodeState.READY, 1, {}, capacity, capacity))


@pytest.mark.parametrize("resources", [{}, {"resources": "auto"}, {"resources": {}}])
async def test_without_a_request_and_runs_the_prior_decides(api: Api, resources: dict[str, Any]) -> None:
    plan = await dry_run(api, **resources)
    sizing = plan["sizing"]
    assert (sizing["source"], sizing["runs"], sizing["group"], sizing["margin"]) == ("prior", 0, None, 1.5)
    assert plan["resources"] == sizing["resources"] == {
        "cpu_cores": 8, "memory_gb": 0.25, "gpu_count": 0, "storage_gb": 10,
    }  # fmt: skip
    assert plan["resources_from"] == {
        "cpu_cores": "prior", "memory_gb": "prior", "gpu_count": "template", "storage_gb": "template",
    }  # fmt: skip
    assert sizing["prior"]["features"] == {
        "algorithm": "random_forest", "rows": 150, "columns": 4, "trees": 100.0, "queries": 30.0,
    }  # fmt: skip
    assert (sizing["assumed"], sizing["alternatives"], sizing["outcome_of_group"]) == ([], [], None)
    assert plan["expected_duration"]["source"] == "prior"


async def test_runs_like_it_decide_and_are_cited(api: Api) -> None:
    await ran(api, 10)
    plan = await dry_run(api)
    sizing = plan["sizing"]
    assert (sizing["source"], sizing["runs"]) == ("history", 10)
    assert sizing["group"] == "tenant, template, algorithm, dataset"
    assert sizing["last_run_at"] == "2026-01-01T12:00:09.000Z"
    assert plan["resources"]["memory_gb"] == 0.375
    assert plan["resources"]["cpu_cores"] == 1
    assert (sizing["quantile"], sizing["margin"]) == (0.95, 1.1)
    assert sizing["outcome_of_group"] == {"oom_rate": 0.0, "waste": 0.927}
    assert [a["resources"]["memory_gb"] for a in sizing["alternatives"]] == [0.312, 0.375, 0.438]
    assert sizing["duration"]["q50"] == pytest.approx(plan["expected_duration"]["median"], abs=0.001)


async def test_the_job_keeps_the_evidence_of_its_dry_run(api: Api) -> None:
    await ran(api, 10)
    plan = await dry_run(api)
    job_id = await api.submit(**TRAINING)
    found = (await api.client.get(f"{JOBS}/{job_id}")).json()
    assert_shape(found, shapes.Job)
    assert found["sizing"] == plan["sizing"]
    assert found["resources"] == plan["resources"]
    listed = (await api.client.get(JOBS)).json()["jobs"]
    assert "sizing" not in listed[0]


async def test_what_was_asked_for_is_obeyed_and_the_suggestion_stands_beside_it(api: Api) -> None:
    await ran(api, 10)
    plan = await dry_run(api, resources={"cpu_cores": 4, "memory_gb": 8})
    assert (plan["resources"]["cpu_cores"], plan["resources"]["memory_gb"]) == (4, 8)
    sizing = plan["sizing"]
    assert (sizing["source"], sizing["runs"]) == ("request", 10)
    assert sizing["suggestion"] == {"cpu_cores": 1, "memory_gb": 0.375, "gpu_count": 0, "storage_gb": 10}
    assert plan["resources_from"]["memory_gb"] == "request"


async def test_a_users_template_has_its_word_until_five_runs_outweigh_it(api: Api) -> None:
    assert (await api.client.post("/api/v1/templates", json=OWN)).status_code == 201
    body = {**TRAINING, "template": "own"}
    before = await dry_run(api, body)
    assert (before["sizing"]["source"], before["resources"]["memory_gb"]) == ("template", 16)
    await ran(api, 4, template="own")
    dataset = {**body["parameters"], "target_column": "species"}
    assert (await dry_run(api, {**body, "parameters": dataset}))["resources"]["memory_gb"] == 16


async def test_five_runs_outweigh_a_users_template(api: Api) -> None:
    assert (await api.client.post("/api/v1/templates", json=OWN)).status_code == 201
    await ran(api, 5, template="own")
    plan = await dry_run(api, {**TRAINING, "template": "own"})
    assert (plan["sizing"]["source"], plan["resources"]["memory_gb"]) == ("history", 0.375)


async def test_a_template_derived_from_one_that_states_its_resources_states_them_too(api: Api) -> None:
    for template in (OWN, {"name": "own_too", "base_template": "own", "description": "the same"}):
        assert (await api.client.post("/api/v1/templates", json=template)).status_code == 201
    assert (await dry_run(api, {**TRAINING, "template": "own_too"}))["sizing"]["source"] == "template"


async def test_other_tenants_runs_say_how_far_off_the_prior_is_and_nothing_else(api: Api) -> None:
    await ran(api, 6, tenant="acme-secret-tenant", dataset="acme-secret-data")
    answer = await api.client.post(JOBS, json=TRAINING, params={"dry_run": "true"})
    sizing = answer.json()["sizing"]
    assert (sizing["source"], sizing["group"], sizing["runs"]) == ("history", "template, algorithm", 6)
    assert "acme" not in answer.text


async def test_the_plan_fits_the_largest_node(api: Api) -> None:
    await node(api, cpu_cores=2, memory_gb=0.2)
    plan = await dry_run(api)
    assert (plan["resources"]["cpu_cores"], plan["sizing"]["source"]) == (2, "prior")
    assert plan["resources"]["memory_gb"] == pytest.approx(0.2, abs=0.001)


async def test_a_users_template_that_no_node_can_hold_is_refused(api: Api) -> None:
    await node(api, memory_gb=8)
    assert (await api.client.post("/api/v1/templates", json=OWN)).status_code == 201
    answer = await api.client.post(JOBS, json={**TRAINING, "template": "own"})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["path"] == "resources.memory_gb"
    assert error["message"].startswith("the template asks for 16, which is more than the largest node has (8)")


async def test_data_that_nobody_has_seen_is_assumed_and_the_template_decides(api: Api) -> None:
    plan = await dry_run(api, parameters={"dataset_name": "sub/some.csv"})
    assert plan["sizing"]["assumed"] == ["rows", "columns"]
    assert (plan["sizing"]["source"], plan["resources"]["memory_gb"]) == ("template", 4)
    assert plan["expected_duration"]["source"] == "timeout"


async def test_data_that_an_earlier_run_has_seen_is_known(api: Api) -> None:
    seen = replace(FOREST, rows=2_000_000.0, columns=40.0)
    await api.services.runs.insert(a_summary(1, dataset="sub/some.csv", features=seen, peak_memory_mib=4_000.0))
    plan = await dry_run(api, parameters={"dataset_name": "sub/some.csv"})
    assert plan["sizing"]["assumed"] == []
    assert plan["sizing"]["prior"]["features"]["rows"] == 2_000_000
    assert plan["sizing"]["source"] == "history"


async def test_data_is_measured_when_it_is_registered(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "houses.csv").write_text("a,b,price\n" + "1.0,2.0,3.0\n" * 50_000)
    async with running_api(DATA_ROOT=str(root)) as api:
        made = await api.client.post("/api/v1/datasets", json={"name": "houses", "path": "houses.csv"})
        assert (made.json()["rows"], made.json()["features"]) == (50_000, 2)
        plan = await dry_run(api, parameters={"dataset_name": "houses"})
        features = plan["sizing"]["prior"]["features"]
        assert (features["rows"], features["columns"]) == (50_000, 2)
        assert plan["sizing"]["source"] == "prior"


async def test_facts_that_are_no_numbers_are_no_facts(api: Api) -> None:
    await api.services.datasets.insert(Dataset("odd", "odd.csv", facts={"rows": "many", "features": -4}))
    assert (await dry_run(api, parameters={"dataset_name": "odd"}))["sizing"]["assumed"] == ["rows", "columns"]


async def test_a_finished_run_stands_with_what_it_asked_used_and_should_ask(api: Api) -> None:
    job = await api.job(await api.submit(**TRAINING, resources={"cpu_cores": 4, "memory_gb": 8}))
    stamp = Stamp(api.clock.now(), "system", "op")
    job = await api.commit(job, transitions.place(job, "n", (), stamp))
    job = await api.commit(job, transitions.start(job, stamp))
    end = RunEnd(peak_memory_mib=512.0, cpu_seconds=50.0, result={"metrics": {}, "steps": {}})
    later = replace(stamp, at=stamp.at + timedelta(seconds=100))
    await api.commit(job, transitions.complete(job, end, later))
    [attempt] = (await api.client.get(f"{JOBS}/{job.id}")).json()["attempts"]
    assert attempt["asked"] == {"cpu_cores": 4, "memory_gb": 8, "gpu_count": 0, "storage_gb": 10}
    assert attempt["used"] == {"cpu_cores": 0.5, "memory_gb": 0.5}
    assert attempt["suggestion"] == {
        "resources": {"cpu_cores": 0.5, "memory_gb": 0.75, "gpu_count": 0, "storage_gb": 10},
        "summary": "used 0.5 of 8 GB and 0.5 of 4 cores",
    }


async def test_a_retry_with_other_parameters_is_measured_by_them(api: Api) -> None:
    job_id = await api.submit(**TRAINING)
    await api.client.post(f"{JOBS}/{job_id}/cancel")
    changes = {"parameters": {"hyperparameters": {"n_estimators": 7}}}
    assert (await api.client.post(f"{JOBS}/{job_id}/retry", json=changes)).status_code == 200
    after = await api.job(job_id)
    assert after.sizing is not None and after.sizing.source == "prior"
    assert after.sizing.features == replace(FOREST, trees=7.0)
    assert (await api.client.post(f"{JOBS}/{job_id}/cancel")).status_code == 200
    changes = {"resources": {"memory_gb": 2}}
    assert (await api.client.post(f"{JOBS}/{job_id}/retry", json=changes)).status_code == 200
    again = await api.job(job_id)
    assert again.sizing is not None and again.sizing.source == "request"
    assert again.resources.memory_mib == 2_048


async def test_what_needs_nothing_known_says_where_its_amounts_come_from(api: Api) -> None:
    job_id = await api.submit()
    sizing = (await api.client.get(f"{JOBS}/{job_id}")).json()["sizing"]
    assert (sizing["source"], sizing["prior"], sizing["runs"]) == ("template", None, 0)
    assert isinstance((await api.job(job_id)).sizing.features, Features | None)  # type: ignore[union-attr]
