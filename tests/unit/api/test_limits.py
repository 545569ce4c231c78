"""Named limits over HTTP: who holds, who waits and why, and names that do not exist."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.api.schemas.queue import NamedLimits
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape


@pytest.fixture
async def limited() -> AsyncIterator[Api]:
    async with running_api(CONCURRENCY_LIMITS='{"main_orchestrator": 1, "gpu_license": 2}') as api:
        yield api


async def test_who_holds_and_how_many_wait(limited: Api) -> None:
    job_id = await limited.submit(limits=["main_orchestrator"])
    for _ in range(2):
        await limited.submit(limits=["main_orchestrator", "main_orchestrator"])
    body = (await limited.client.get("/api/v1/limits")).json()
    assert_shape(body, NamedLimits)
    assert body == {
        "limits": [
            {"name": "gpu_license", "limit": 2, "held": 0, "holders": [], "waiting": 0},
            {"name": "main_orchestrator", "limit": 1, "held": 1, "holders": [job_id], "waiting": 2},
        ]
    }


async def test_the_answer_says_where_it_stands(limited: Api) -> None:
    asked = {"template": "noop", "limits": ["main_orchestrator"]}
    first, second = [(await limited.client.post("/api/v1/jobs", json=asked)).json() for _ in range(2)]
    assert (first["status"], first["queue_position"]) == ("QUEUED", 1)
    assert (second["status"], second["queue_position"]) == ("SUBMITTED", None)
    [reason] = (await limited.client.get(f"/api/v1/jobs/{second['job_id']}")).json()["wait_reasons"]
    assert (reason["code"], reason["facts"]) == (
        "concurrency_limit",
        {"name": "main_orchestrator", "limit": 1, "held": 1, "holders": first["job_id"]},
    )
    assert first["job_id"] in reason["summary"]
    plan = (await limited.client.post("/api/v1/jobs?dry_run=true", json=asked)).json()
    assert [r["code"] for r in plan["wait_reasons"]] == ["concurrency_limit"]


@pytest.mark.parametrize(
    ("name", "nearest"), [("main_orchestratr", "main_orchestrator"), ("x", None), ("", None), ("held.main", None)]
)
async def test_an_unknown_name_is_refused_with_the_nearest(limited: Api, name: str, nearest: str | None) -> None:
    asked = {"template": "noop", "limits": ["gpu_license", name]}
    template = {"name": "mine", "base_template": "noop", "limits": ["gpu_license", name]}
    for path, body in (("/api/v1/jobs", asked), ("/api/v1/templates", template)):
        answer = await limited.client.post(path, json=body)
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["path"], error.get("nearest")) == (422, "limits[1]", nearest)
        assert "CONCURRENCY_LIMITS" in error["message"]


async def test_without_the_setting_there_is_no_limit_to_name(api: Api) -> None:
    assert (await api.client.get("/api/v1/limits")).json() == {"limits": []}
    answer = await api.client.post("/api/v1/jobs", json={"template": "noop", "limits": ["main"]})
    assert answer.status_code == 422


async def test_jobs_of_a_template_take_places_in_its_limits(limited: Api) -> None:
    template = {"name": "licensed", "base_template": "noop", "limits": ["gpu_license"]}
    made = await limited.client.post("/api/v1/templates", json=template)
    assert (made.status_code, made.json()["limits"]) == (201, ["gpu_license"])
    inherits = {"name": "licensed_too", "base_template": "licensed"}
    assert (await limited.client.post("/api/v1/templates", json=inherits)).json()["limits"] == ["gpu_license"]
    ids = [await limited.submit(template=name) for name in ("licensed", "licensed_too", "licensed")]
    states = [(await limited.client.get(f"/api/v1/jobs/{i}")).json()["status"] for i in ids]
    assert states == ["QUEUED", "QUEUED", "SUBMITTED"]
