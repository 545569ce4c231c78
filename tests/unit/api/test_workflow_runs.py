"""How runs of workflows come to be once: under a key, and by a schedule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.workflows.schedules import Schedule
from app.operations.workflows.scheduling import fire
from tests.support.memory import Died
from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflows import WORKFLOWS, create, definition, post, step

NIGHTLY = {"name": "nightly", "workflow_name": "test", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


async def runs(api: Api) -> list[dict[str, Any]]:
    """All of them, the newest first."""
    listed: list[dict[str, Any]] = (await api.client.get(WORKFLOWS)).json()["workflows"]
    return listed


async def the_schedule(api: Api) -> Schedule:
    schedule = await api.services.schedules.get("nightly")
    assert schedule is not None
    return schedule


async def scheduled(api: Api) -> datetime:
    """A workflow with a schedule; the moment that is waited for."""
    await create(api, step("a"), start=False)
    assert (await api.client.post("/api/v1/schedules", json=NIGHTLY)).status_code == 201
    moment = (await the_schedule(api)).next_at
    assert moment is not None
    return moment


async def test_a_key_makes_one_run(api: Api) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = await post(api, "", definition(step("a")), 201, **headers)
    answer = await api.client.post(WORKFLOWS, json=definition(step("a")), headers=headers)
    assert answer.json() == first and answer.headers["idempotent-replayed"] == "true"
    await post(api, "", definition(step("b")), 422, **headers)
    listed = (await api.client.get(WORKFLOWS)).json()["workflows"]
    assert [w["workflow_id"] for w in listed] == [first["workflow_id"]]


async def test_a_key_whose_answer_is_kept_no_more_is_free_again(api: Api) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = await post(api, "", definition(step("a")), 201, **headers)
    api.services.answers._stored.clear()  # type: ignore[attr-defined]
    again = await post(api, "", definition(step("a")), 201, **headers)
    assert again["workflow_id"] == first["workflow_id"], "its answer was lost: the run is known by its id"
    api.services.answers._stored.clear()  # type: ignore[attr-defined]
    api.clock.advance((api.services.settings.retention.answers + timedelta(seconds=1)).total_seconds())
    later = await post(api, "", definition(step("a")), 201, **headers)
    assert later["workflow_id"] != first["workflow_id"] and len(await runs(api)) == 2


async def test_schedules_are_kept_and_refused(api: Api) -> None:
    await create(api, step("a"))
    body = NIGHTLY
    answer = await api.client.post("/api/v1/schedules", json=body)
    assert answer.status_code == 201 and answer.json()["next_at"]
    api.clock.advance(1)
    assert (await api.client.post("/api/v1/schedules", json=body)).status_code == 409
    wrong = {**body, "name": "x", "cron": "61 * * * *", "timezone": "Mars/Olympus", "missed": "skipp"}
    answer = await api.client.post("/api/v1/schedules", json=wrong)
    assert {e["path"] for e in answer.json()["errors"]} == {"cron", "timezone", "missed"}
    assert (
        await api.client.post("/api/v1/schedules", json={**body, "name": "y", "workflow_name": "no"})
    ).status_code == 404
    assert len((await api.client.get("/api/v1/schedules")).json()["schedules"]) == 1
    assert (await api.client.delete("/api/v1/schedules/nightly")).status_code == 204
    assert (await api.client.delete("/api/v1/schedules/nightly")).status_code == 404


async def test_a_moment_is_run_once_whatever_dies_over_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = await scheduled(api)
    await fire(api.services, moment - timedelta(seconds=1))
    assert len(await runs(api)) == 1, "the one that was only stored"

    async def dies(*_: object) -> bool:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(api.services.schedules, "move_on", dies)
        with pytest.raises(Died):
            await fire(api.services, moment)
    assert (await the_schedule(api)).next_at == moment, "the run is made, and the schedule does not know"
    assert await fire(api.services, moment) == 1
    assert await fire(api.services, moment) == 0
    after = await the_schedule(api)
    assert [run["schedule"] for run in await runs(api) if run["workflow_id"] == after.last_workflow_id] == ["nightly"]
    assert len(await runs(api)) == 2
    assert (after.last_at, after.last_error, after.next_at) == (moment, None, moment + timedelta(days=1))


async def test_a_moment_that_nobody_saw_is_left_out(api: Api) -> None:
    moment = await scheduled(api)
    assert await fire(api.services, moment + timedelta(minutes=5)) == 1
    after = await the_schedule(api)
    assert (after.last_at, after.next_at) == (None, moment + timedelta(days=1))
    assert len(await runs(api)) == 1


async def test_a_schedule_whose_workflow_is_refused_says_so_and_goes_on(api: Api) -> None:
    moment = await scheduled(api)
    await create(api, step("a"), inputs={"least": {"type": "number"}}, start=False)
    await fire(api.services, moment)
    after = await the_schedule(api)
    assert after.last_error is not None and "least" in after.last_error
    assert (after.last_workflow_id, after.next_at) == (None, moment + timedelta(days=1))
