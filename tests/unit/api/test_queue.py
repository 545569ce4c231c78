"""The queue over HTTP: its status, its order, moving a job in it, and stopping it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.api.queue_views import duration_text, queue_status_view
from app.api.schemas import queue as shapes
from app.api.schemas.jobs import QueuePage
from app.domain.estimates import Forecast
from app.domain.ports import ROOM_BELL
from app.domain.priority import SECOND, Priority, micros
from app.domain.promises import Promise
from app.domain.queueing import ticket_of
from app.domain.records import Board, StateCount
from app.domain.states import JobStatus
from app.domain.transitions import place
from app.operations.priority import set_priority
from tests.support.clock import NOON
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.4, "0s"), (59.6, "1m"), (150, "2m 30s"), (945, "15m 45s"), (3900, "1h 5m"), (3600, "1h"),
        (3605, "1h"), (90_000, "1d 1h"), (1_000_000, "11d 13h"),
    ],
)  # fmt: skip
def test_durations_as_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_status_counts_by_state_and_class() -> None:
    counts = [
        StateCount(JobStatus.QUEUED, Priority.HIGH, 5, NOON - timedelta(seconds=60), 495.0),
        StateCount(JobStatus.QUEUED, Priority.URGENT, 2, NOON - timedelta(seconds=150)),
        StateCount(JobStatus.SUBMITTED, Priority.NORMAL, 4, NOON),
        StateCount(JobStatus.RETRYING, Priority.LOW, 3, NOON),
        StateCount(JobStatus.RUNNING, Priority.LOW, 8, NOON),
        StateCount(JobStatus.SCHEDULED, Priority.LOW, 1, NOON),
        StateCount(JobStatus.PAUSED, Priority.LOW, 9, NOON),
    ]
    view = queue_status_view(counts, {Priority.NORMAL: 945.0}, NOON)
    assert_shape(view, shapes.QueueStatus)
    assert {k: v for k, v in view.items() if k != "queues"} == {
        "queue_length": 7, "running_jobs": 8, "pending_jobs": 7, "scheduled_jobs": 1, "paused_jobs": 9,
        "paused": False, "pause": None, "promises": 0,
    }  # fmt: skip
    assert {c: (q["length"], q["avg_wait_time"]) for c, q in view["queues"].items()} == {
        "urgent": (2, "2m 30s"), "high": (5, "8m 15s"), "normal": (0, "15m 45s"), "low": (0, "0s"),
    }  # fmt: skip


async def test_the_status_of_a_live_queue(api: Api) -> None:
    for priority in ("urgent", "high", "high"):
        await api.submit(priority=priority)
    api.clock.advance(90)
    body = (await api.client.get("/api/v1/queue/status")).json()
    assert_shape(body, shapes.QueueStatus)
    assert body["queue_length"] == 3
    assert body["queues"]["high"] == {"length": 2, "avg_wait_time": "1m 30s", "avg_wait_seconds": 90.0}
    assert list(body["queues"]) == ["urgent", "high", "normal", "low"]


async def test_the_queue_is_listed_in_the_whole_order(api: Api) -> None:
    low = await api.submit(priority="low")
    normal = await api.submit()
    urgent = await api.submit(priority="urgent")
    gone = await api.submit(priority="urgent")
    job = await api.job(gone)
    await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    first = (await api.client.get("/api/v1/queue", params={"limit": 3})).json()
    assert_shape(first, QueuePage)
    rest = (await api.client.get("/api/v1/queue", params={"cursor": first["next_cursor"]})).json()
    assert [j["job_id"] for j in first["jobs"] + rest["jobs"]] == [urgent, normal, low], "the placed one is not listed"
    assert [j["queue_position"] for j in first["jobs"]] == [1, 3]
    assert rest["next_cursor"] is None


async def order(api: Api) -> list[str]:
    body = (await api.client.get("/api/v1/queue", params={"limit": 500})).json()
    return [job["job_id"] for job in body["jobs"]]


async def paged(api: Api, limit: int) -> list[str]:
    """The queue read page by page."""
    ids: list[str] = []
    params: dict[str, str | int] = {"limit": limit}
    while True:
        body = (await api.client.get("/api/v1/queue", params=params)).json()
        ids += [job["job_id"] for job in body["jobs"]]
        if body["next_cursor"] is None:
            return ids
        params["cursor"] = body["next_cursor"]


async def publish(api: Api, tables: Any = None, **fields: Any) -> None:
    """A board as the leader makes it, seen by the next request."""
    now = api.clock.now()
    await api.services.queue.publish(Board(at=now, forecast=Forecast(now, tables or {}, 10.0), **fields))
    api.services.recent.forget("board")


async def test_pages_go_on_behind_the_last_job_wherever_the_others_went(api: Api) -> None:
    ids = [await api.submit() for _ in range(6)]
    first = (await api.client.get("/api/v1/queue", params={"limit": 3})).json()
    for gone in ids[:3]:
        await api.client.post(f"/api/v1/jobs/{gone}/cancel")
    rest = (await api.client.get("/api/v1/queue", params={"cursor": first["next_cursor"]})).json()
    assert [j["job_id"] for j in first["jobs"] + rest["jobs"]] == ids


@pytest.mark.parametrize(
    "cursor", ["x", "!", "cXVldWUgMA", "cXVldWUgLSAtIC0gLSAtIHg", "cXVldWUgLSAtIDkgMCAxLjAgYQ", "a" * 300]
)
async def test_a_cursor_of_another_kind_is_refused(api: Api, cursor: str) -> None:
    answer = await api.client.get("/api/v1/queue", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "cursor")


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_the_overdue_stand_first_and_are_told_once(api: Api, limit: int) -> None:
    low = await api.submit(priority="low")
    api.clock.advance(1)
    lower = await api.submit(priority="low")
    api.clock.advance(timedelta(hours=9))
    urgent, normal = await api.submit(priority="urgent"), await api.submit()
    late = await api.submit(priority="low")
    await publish(api, lane=(low, lower))
    assert await paged(api, limit) == [low, lower, urgent, normal, late]
    positions = {i: (await api.client.get(f"/api/v1/jobs/{i}")).json()["queue_position"] for i in await order(api)}
    assert positions == {low: 1, lower: 2, urgent: 3, normal: 4, late: 5}


@pytest.mark.parametrize("paused", [True, False])
async def test_nobody_is_told_a_start_while_the_queue_is_paused(api: Api, *, paused: bool) -> None:
    await publish(api, paused=paused)
    submitted = await api.client.post("/api/v1/jobs", json={"template": "noop"})
    job = (await api.client.get(f"/api/v1/jobs/{submitted.json()['job_id']}")).json()
    told = [submitted.json()["estimated_start_time"], job["estimated_start_time"]]
    assert [each is None for each in told] == [paused] * 2
    assert job["queue_position"] == 1


async def test_a_promise_is_shown_on_its_job(api: Api) -> None:
    job_id, other = await api.submit(), await api.submit()
    now = micros(api.clock.now())
    demand = ticket_of(await api.job(job_id)).demand
    promise = Promise(job_id, "node-1", now + 60 * SECOND, now + 90 * SECOND, now, 2, demand)
    await publish(api, promises=(promise,))
    body = (await api.client.get(f"/api/v1/jobs/{job_id}")).json()
    assert body["reserved"] == {
        "node_id": "node-1", "by": "2026-01-01T12:01:00.000Z", "limit": "2026-01-01T12:01:30.000Z",
        "since": "2026-01-01T12:00:00.000Z",
    }  # fmt: skip
    assert (await api.client.get(f"/api/v1/jobs/{other}")).json()["reserved"] is None
    assert (await api.client.get("/api/v1/queue/status")).json()["promises"] == 1


async def test_a_reorder_moves_within_the_class_and_names_who_is_pushed_back(api: Api) -> None:
    urgent = await api.submit(priority="urgent")
    a, b, c, d = [await api.submit() for _ in range(4)]
    bucket = (await api.services.queue.locate([a]))[a].bucket_id
    await publish(api, tables={bucket: ((1, 0.0), (2, 10.0), (3, 20.0), (4, 30.0))})
    asked = {"job_id": d, "new_position": 2, "reason": "Critical production fix"}
    foreseen = (await api.client.post("/api/v1/queue/reorder", params={"dry_run": True}, json=asked)).json()
    assert await order(api) == [urgent, a, b, c, d], "a dry run moves nothing"
    done = await api.client.post("/api/v1/queue/reorder", json=asked)
    assert_shape(done.json(), shapes.QueueReordered)
    assert await order(api) == [urgent, a, d, b, c]
    assert foreseen == {**done.json(), "dry_run": True, "seq": 1}
    assert done.headers["ETag"] == '"2"'
    body = done.json()
    assert (body["class"], body["position_before"], body["position_after"]) == ("normal", 4, 2)
    assert (body["estimated_start_before"], body["estimated_start_after"]) == (
        "2026-01-01T12:00:30.000Z", "2026-01-01T12:00:10.000Z",
    )  # fmt: skip
    assert [(p["job_id"], p["position_before"], p["position_after"]) for p in body["pushed_back"]] == [
        (b, 2, 3), (c, 3, 4),
    ]  # fmt: skip
    assert body["pushed_back"][0]["estimated_start_after"] == "2026-01-01T12:00:20.000Z"
    entry = (await api.client.get(f"/api/v1/jobs/{d}")).json()["history"][-1]
    assert (entry["reason"], entry["actor"], entry["detail"]) == ("reordered", "anonymous", "Critical production fix")


async def test_a_move_to_the_back_pushes_nobody_back(api: Api) -> None:
    a, b, c = [await api.submit() for _ in range(3)]
    body = (await api.client.post("/api/v1/queue/reorder", json={"job_id": a, "new_position": 3})).json()
    assert (body["pushed_back"], body["pushed_back_count"]) == ([], 0)
    assert await order(api) == [b, c, a]


async def test_a_reordered_job_outranks_the_bands_of_tenants(api: Api) -> None:
    ids = [await api.submit() for _ in range(3)]
    await api.services.queue.publish_bands({"default": 3})
    await api.client.post("/api/v1/queue/reorder", json={"job_id": ids[2], "new_position": 1})
    await api.services.queue.publish_bands({"default": 7})
    assert await order(api) == [ids[2], ids[0], ids[1]]


async def test_moves_to_one_place_never_run_out_of_room(api: Api) -> None:
    ids = [await api.submit() for _ in range(4)]
    wanted = list(ids)
    for _ in range(70):
        moved = wanted.pop()
        wanted.insert(1, moved)
        answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": moved, "new_position": 2})
        assert answer.status_code == 200, answer.text
    assert await order(api) == wanted


async def test_moves_among_jobs_of_one_key_find_room(api: Api) -> None:
    ids = [await api.submit() for _ in range(4)]
    for job_id in ids:
        job = await api.job(job_id)
        await api.services.queue.enqueue(await api.services.jobs.rekey([(job_id, job.order_key, 5.0)]))
    wanted = await order(api)
    for position in (1, 2, 3, 2, 1):
        moved = wanted.pop()
        wanted.insert(position - 1, moved)
        answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": moved, "new_position": position})
        assert answer.status_code == 200, answer.text
        assert await order(api) == wanted


@pytest.mark.parametrize("position", [0, -1, 4, 2**62, -(2**62)])
async def test_a_position_that_the_class_has_not_is_refused_whole(api: Api, position: int) -> None:
    ids = [await api.submit() for _ in range(3)]
    await api.submit(priority="low")
    answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": ids[0], "new_position": position})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["path"]) == (422, "new_position")
    assert "class normal has 3 waiting jobs; a position is 1 to 3" in error["message"]
    assert (await api.job(ids[0])).seq == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"new_position": 1}, "job_id"), ({"job_id": "job_1"}, "new_position"), ({}, "job_id"),
        ({"job_id": "job_1", "new_position": "1"}, "new_position"),
        ({"job_id": "job_1", "new_position": 1.5}, "new_position"),
        ({"job_id": "job_1", "new_position": True}, "new_position"),
        ({"job_id": "job_1", "new_positon": 1}, "new_position"),
        ({"job_id": "job_1", "new_position": 1, "reason": "x" * 501}, "reason"),
    ],
)  # fmt: skip
async def test_a_reorder_that_is_no_reorder_is_refused(api: Api, body: dict[str, Any], path: str) -> None:
    answer = await api.client.post("/api/v1/queue/reorder", json=body)
    assert answer.status_code == 422
    assert path in {e["path"] for e in answer.json()["errors"]}


@pytest.mark.parametrize("job_id", ["job_789", "JOB", "a b", "é"])
async def test_a_reorder_of_an_unknown_job_is_not_found(api: Api, job_id: str) -> None:
    answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": job_id, "new_position": 1})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_only_a_job_that_waits_in_the_queue_is_moved(api: Api) -> None:
    parent, child = await api.submit(), ""
    child = await api.submit(dependencies=[parent])
    answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": child, "new_position": 1})
    body = answer.json()
    assert (answer.status_code, body["code"], body["current"]) == (409, "invalid_transition", "SUBMITTED")
    assert "only a job that waits in the queue can be moved" in body["detail"]


async def test_a_job_that_changes_its_class_meanwhile_is_not_put_into_the_other(api: Api) -> None:
    low, high = await api.submit(priority="low"), await api.submit(priority="high")
    other = await api.submit(priority="low")
    queue = api.services.queue
    neighbours = queue.neighbours

    async def then_another_class(*asked: Any) -> Any:
        found = await neighbours(*asked)
        await set_priority(api.services, other, Priority.HIGH, "ann", None)
        return found

    queue.neighbours = then_another_class  # type: ignore[method-assign]
    answer = await api.client.post("/api/v1/queue/reorder", json={"job_id": other, "new_position": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_job")
    assert await order(api) == [high, other, low]


async def test_a_reorder_under_a_key_is_made_once_and_a_dry_run_uses_none_up(api: Api) -> None:
    a, b = await api.submit(), await api.submit()
    asked, key = {"job_id": b, "new_position": 1}, {"Idempotency-Key": "once"}
    dry = await api.client.post("/api/v1/queue/reorder?dry_run=true", json=asked, headers=key)
    first = await api.client.post("/api/v1/queue/reorder", json=asked, headers=key)
    await api.client.post("/api/v1/queue/reorder", json={"job_id": a, "new_position": 1})
    again = await api.client.post("/api/v1/queue/reorder", json=asked, headers=key)
    assert (dry.json()["dry_run"], first.json()["dry_run"]) == (True, False)
    assert again.content == first.content
    assert await order(api) == [a, b], "the second was only answered"


async def test_a_pause_says_who_why_and_since_when_until_it_is_taken_back(api: Api) -> None:
    for reason in ("new storage", "another"):
        paused = await api.client.post("/api/v1/queue/pause", json={"reason": reason})
        assert_shape(paused.json(), shapes.QueueStatus)
        assert paused.json()["pause"] == {
            "actor": "anonymous", "reason": "new storage", "at": "2026-01-01T12:00:00.000Z",
        }  # fmt: skip
        api.clock.advance(60)
    status = (await api.client.get("/api/v1/queue/status")).json()
    assert status["paused"] is True
    assert await api.submit(), "jobs are accepted"
    for _ in range(2):
        resumed = await api.client.post("/api/v1/queue/resume")
        assert (resumed.status_code, resumed.json()["paused"], resumed.json()["pause"]) == (200, False, None)


async def test_pause_and_resume_ring_the_scheduler(api: Api) -> None:
    async with api.services.bells.listen(ROOM_BELL) as room:
        await api.client.post("/api/v1/queue/pause")
        assert await room.wait(0)
        await api.client.post("/api/v1/queue/resume")
        assert await room.wait(0)
