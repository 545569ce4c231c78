"""Another class for a job over HTTP, and what it lends to what it waits for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.api.schemas.controls import JobControlled
from app.domain.priority import Priority
from app.domain.transitions import lose_dispatch, place
from app.operations.change import commit_all
from tests.unit.api.harness import Api, frames, take
from tests.unit.api.shapes import assert_shape

URGENT = {"priority": "urgent", "reason": "Production model update required"}


async def effective(api: Api, job_id: str) -> str:
    return str((await api.client.get(f"/api/v1/jobs/{job_id}")).json()["effective_priority"])


async def test_the_request_of_the_contract(api: Api) -> None:
    older, job_id = await api.submit(priority="urgent"), await api.submit()
    newer = await api.submit(priority="urgent")
    answer = await api.client.put(f"/api/v1/jobs/{job_id}/priority", json=URGENT)
    body = answer.json()
    assert_shape(body, JobControlled)
    assert (answer.status_code, body["priority"], body["effective_priority"]) == (200, "urgent", "urgent")
    assert answer.headers["ETag"] == '"2"'
    entry = body["history"][-1]
    assert (entry["reason"], entry["actor"], entry["detail"]) == ("priority_changed", "anonymous", URGENT["reason"])
    listed = (await api.client.get("/api/v1/queue")).json()["jobs"]
    assert [j["job_id"] for j in listed] == [older, job_id, newer], "it stands by its age"
    assert body["queue_position"] == 2


async def test_asking_twice_is_asking_once(api: Api) -> None:
    job_id = await api.submit()
    for _ in range(2):
        answer = await api.client.put(f"/api/v1/jobs/{job_id}/priority", json={"priority": "low"})
        assert (answer.status_code, answer.json()["seq"]) == (200, 2)


async def test_a_stale_if_match_changes_nothing(api: Api) -> None:
    job_id = await api.submit()
    path = f"/api/v1/jobs/{job_id}/priority"
    assert (await api.client.put(path, json=URGENT, headers={"If-Match": '"1"'})).status_code == 200
    stale = await api.client.put(path, json={"priority": "low"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"], stale.json()["current"]) == (412, "stale_version", "2")
    assert (await api.job(job_id)).priority is Priority.URGENT


@pytest.mark.parametrize("asked", ["urgnt", "URGENT!", "", 1, None])
async def test_an_unknown_priority_is_answered_with_the_four(api: Api, asked: Any) -> None:
    job_id = await api.submit()
    answers = [
        await api.client.put(f"/api/v1/jobs/{job_id}/priority", json={"priority": asked}),
        await api.client.post("/api/v1/jobs", json={"template": "noop", "priority": asked}),
        await api.client.post(f"/api/v1/jobs/{job_id}/retry", json={"priority": asked or "x"}),
    ]
    for answer in answers:
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["path"]) == (422, "priority")
        assert all(name in error["message"] for name in ("urgent", "high", "normal", "low")), error["message"]
    if asked == "urgnt":
        assert {a.json()["errors"][0]["nearest"] for a in answers} == {"urgent"}
    assert (await api.job(job_id)).seq == 1


async def test_a_body_is_required(api: Api) -> None:
    job_id = await api.submit()
    for body in (None, {}, {"reason": "why"}):
        assert (await api.client.put(f"/api/v1/jobs/{job_id}/priority", json=body)).status_code == 422
    assert (await api.client.put("/api/v1/jobs/job_789/priority", json=URGENT)).status_code == 404


async def test_what_has_ended_has_no_place_to_change(api: Api) -> None:
    job_id = await api.submit()
    await api.client.post(f"/api/v1/jobs/{job_id}/cancel")
    answer = await api.client.put(f"/api/v1/jobs/{job_id}/priority", json=URGENT)
    body = answer.json()
    assert (answer.status_code, body["code"], body["current"]) == (409, "invalid_transition", "CANCELLED")
    assert "a retry may name another priority" in body["detail"]


async def test_a_class_is_lent_upwards_through_the_graph_and_given_back(api: Api) -> None:
    root = await api.submit(priority="low")
    middle = await api.submit(priority="low", dependencies=[root])
    leaf = await api.submit(priority="normal", dependencies=[middle])
    assert [await effective(api, i) for i in (root, middle, leaf)] == ["normal"] * 3
    await api.client.put(f"/api/v1/jobs/{leaf}/priority", json=URGENT)
    assert [await effective(api, i) for i in (root, middle, leaf)] == ["urgent"] * 3
    first = (await api.client.get("/api/v1/queue/status")).json()["queues"]["urgent"]
    assert first["length"] == 1, "it waits in the class that is lent to it"
    await api.client.put(f"/api/v1/jobs/{leaf}/priority", json={"priority": "high"})
    assert [await effective(api, i) for i in (root, middle)] == ["high", "high"]
    await api.client.post(f"/api/v1/jobs/{leaf}/cancel")
    assert [await effective(api, i) for i in (root, middle)] == ["low", "low"]
    body = (await api.client.get(f"/api/v1/jobs/{root}")).json()
    assert (body["priority"], body["history"][-1]["actor"]) == ("low", "system")


async def test_a_run_that_comes_back_is_considered_in_the_class_that_was_lent_meanwhile(api: Api) -> None:
    parent = await api.submit(priority="low")
    job = await api.job(parent)
    await commit_all(api.services, [(job, place(job, "node-1", (), api.services.stamp()))])
    await api.submit(priority="urgent", dependencies=[parent])
    assert await effective(api, parent) == "low", "what is on its node is not considered"
    job = await api.job(parent)
    await commit_all(api.services, [(job, lose_dispatch(job, api.services.stamp()))])
    assert await effective(api, parent) == "urgent"


async def test_streams_tell_class_and_position(api: Api) -> None:
    a, b = await api.submit(), await api.submit()
    async with api.client.stream("GET", "/api/v1/events", params={"types": "job.queue"}) as response:
        stream = frames(response)
        await take(stream, 1)
        await api.client.put(f"/api/v1/jobs/{a}/priority", json=URGENT)
        await api.tell(await api.job(a))
        await api.client.post("/api/v1/queue/reorder", json={"job_id": b, "new_position": 1})
        await api.client.put(f"/api/v1/jobs/{b}/priority", json=URGENT)
        await api.client.post("/api/v1/queue/reorder", json={"job_id": b, "new_position": 1, "reason": "fix"})
        await api.tell(await api.job(b))
        changed, moved = [orjson.loads(frame.data) for frame in await take(stream, 2)]
    assert changed == {
        "type": "job.queue", "job_id": a, "class": "urgent", "position": None, "actor": "anonymous",
        "reason": URGENT["reason"],
    }  # fmt: skip
    assert moved == {
        "type": "job.queue", "job_id": b, "class": "urgent", "position": 1, "actor": "anonymous", "reason": "fix",
    }  # fmt: skip
