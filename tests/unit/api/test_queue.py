"""The queue over HTTP: its status, its order, moving a job in it, and stopping it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.api.queue_views import duration_text, queue_status_view
from app.api.schemas import queue as shapes
from app.api.schemas.jobs import QueuePage
from app.domain.priority import Priority
from app.domain.records import StateCount
from app.domain.states import JobStatus
from app.domain.transitions import place
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
