"""Whose job it is, how many of a tenant may wait, and what a dry run tells beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.api.schemas.jobs import JobPlan
from app.domain.durations import Duration
from app.domain.states import JobStatus
from tests.contract.stores.test_runs import RUN
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape
from tests.unit.api.test_cluster import with_nodes

HEADER = {"TENANT_HEADER": "X-Tenant"}
QUOTA = {**HEADER, "TENANT_QUOTAS": '{"vision": {"waiting": 2}, "speech": {"running": 1}}'}
NOOP = {"template": "noop"}


async def post(api: Api, tenant: str | None = None, **fields: Any) -> Any:
    headers = {} if tenant is None else {"X-Tenant": tenant}
    return await api.client.post("/api/v1/jobs", json={**NOOP, **fields}, headers=headers)


async def shown(api: Api, answer: Any) -> dict[str, Any]:
    return dict((await api.client.get(f"/api/v1/jobs/{answer.json()['job_id']}")).json())


async def test_the_header_names_the_tenant_where_the_setting_allows_it() -> None:
    async with running_api(**HEADER) as api:
        assert (await shown(api, await post(api, "vision")))["tenant"] == "vision"
        assert (await shown(api, await post(api)))["tenant"] == "default"


async def test_without_the_setting_the_header_says_nothing(api: Api) -> None:
    assert (await shown(api, await post(api, "vision")))["tenant"] == "default"
    assert (await post(api, "NOT A NAME")).status_code == 201


@pytest.mark.parametrize("tenant", ["", "Vision", "-x", "a b", "a" * 64, "a.b", "$"])
async def test_a_name_that_can_be_none_is_refused_naming_the_header(tenant: str) -> None:
    async with running_api(**HEADER) as api:
        answer = await post(api, tenant)
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["path"]) == (422, "X-Tenant")


async def test_a_tenant_may_have_so_many_jobs_waiting() -> None:
    async with running_api(**QUOTA) as api:
        accepted = [await post(api, "vision") for _ in range(2)]
        full = await post(api, "vision")
        assert (full.status_code, full.json()["code"], full.headers["Retry-After"]) == (429, "quota_exceeded", "10")
        assert "Tenant vision has 2 jobs waiting, and may have 2" in full.json()["detail"]
        dry = await api.client.post("/api/v1/jobs?dry_run=true", json=NOOP, headers={"X-Tenant": "vision"})
        assert dry.status_code == 429, "it says what the submit would say"
        assert {(await post(api, other)).status_code for other in ("speech", None)} == {201}
        await api.client.post(f"/api/v1/jobs/{accepted[0].json()['job_id']}/cancel")
        assert (await post(api, "vision")).status_code == 201


async def test_an_answer_given_before_is_given_again_over_quota() -> None:
    async with running_api(**QUOTA) as api:
        headers = {"X-Tenant": "vision", "Idempotency-Key": "once"}
        first = await api.client.post("/api/v1/jobs", json=NOOP, headers=headers)
        await post(api, "vision")
        again = await api.client.post("/api/v1/jobs", json=NOOP, headers=headers)
        assert (again.status_code, again.content) == (201, first.content)


async def test_a_key_belongs_to_one_tenant() -> None:
    async with running_api(**HEADER) as api:
        asked: list[dict[str, str]] = [{"X-Tenant": "vision"}, {"X-Tenant": "speech"}, {}]
        first, again = [
            [(await api.client.post("/api/v1/jobs", json=NOOP, headers={**h, "Idempotency-Key": "k"})) for h in asked]
            for _ in range(2)
        ]
        assert [(await shown(api, answer))["tenant"] for answer in first] == ["vision", "speech", "default"]
        assert [answer.content for answer in again] == [answer.content for answer in first]
        batch = {"jobs": [NOOP]}
        made = [
            (await api.client.post("/api/v1/jobs/batch", json=batch, headers={**h, "Idempotency-Key": "k"})).json()
            for h in asked
        ]
        assert len({answer["batch_id"] for answer in made}) == 3


async def test_labels_that_nobody_has_are_accepted_and_a_dry_run_says_so(api: Api) -> None:
    await with_nodes(api)
    asked = {**NOOP, "node_selector": {"zone": "nowhere"}, "prefer": {"disk": "ssd"}}
    plan = (await api.client.post("/api/v1/jobs?dry_run=true", json=asked)).json()
    assert_shape(plan, JobPlan)
    assert [(r["code"], r["summary"]) for r in plan["wait_reasons"]] == [
        ("node_selector", "no node carries zone=nowhere")
    ]
    job = await shown(api, await api.client.post("/api/v1/jobs", json=asked))
    assert (job["status"], job["prefer"]) == ("QUEUED", {"disk": "ssd"})
    known = await api.client.post("/api/v1/jobs?dry_run=true", json={**NOOP, "node_selector": {"zone": "a"}})
    assert known.json()["wait_reasons"] == []


async def test_a_dry_run_tells_of_a_stopped_queue_and_of_open_parents(api: Api) -> None:
    parent = await api.submit()
    await api.client.post("/api/v1/queue/pause", json={"reason": "new storage"})
    plan = (await api.client.post("/api/v1/jobs?dry_run=true", json=NOOP)).json()
    assert [r["code"] for r in plan["wait_reasons"]] == ["queue_paused"]
    child = (await api.client.post("/api/v1/jobs?dry_run=true", json={**NOOP, "dependencies": [parent]})).json()
    assert (child["status"], [r["code"] for r in child["wait_reasons"]]) == (JobStatus.SUBMITTED, ["dependencies"])


@pytest.mark.parametrize("labels", ["node_selector", "prefer"])
async def test_a_label_that_cannot_be_stored_is_refused(api: Api, labels: str) -> None:
    answer = await post(api, **{labels: {"a.b": "x"}})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, f"{labels}.a.b")


async def test_how_long_it_should_take_is_learnt_from_runs_like_it(api: Api) -> None:
    sleep = {"template": "sleep", "timeout": 900}
    timeout = (await api.client.post("/api/v1/jobs?dry_run=true", json=sleep)).json()
    assert timeout["expected_duration"] == {
        "median": 900.0, "mean": 900.0, "cautious": 900.0, "source": "timeout", "group": None, "runs": 0,
    }  # fmt: skip
    for n in range(5):
        run = replace(RUN, job_id=f"job_{n}", template="noop", algorithm=None, tenant="default", outcome="completed")
        await api.services.runs.insert(replace(run, run_seconds=40.0, finished_at=api.clock.now()))
    learnt = (await api.client.post("/api/v1/jobs?dry_run=true", json=NOOP)).json()["expected_duration"]
    assert (learnt["median"], learnt["source"], learnt["runs"]) == (40.0, "history", 5)
    job_id = await api.submit()
    assert (await api.job(job_id)).expected == Duration(**learnt)
    assert (await api.client.get(f"/api/v1/jobs/{job_id}")).json()["expected_duration"] == learnt
