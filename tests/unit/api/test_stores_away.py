"""MongoDB is away: every operation that needs it says so, with the time to come back, and none accepts anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from typing import Any

import pytest

from app.api.examples import REQUESTS
from app.api.openapi import METHODS
from app.domain.errors import Unavailable
from app.services import Services
from tests.unit.api.harness import Api, running_api

HERE = {
    "settings",
    "clock",
    "queue",
    "dispatcher",
    "bells",
    "feed",
    "health",
    "histories",
    "recent",
    "expressions",
    "workflow_turns",
}
"""What a process has of its own, or in Redis."""
ALIVE = {"get_health", "get_readiness", "get_metrics", "stream_events", "list_queue"}
"""Those that need no document store; `list_queue` asks it only for what the index holds."""
KNOWN = {
    "job_id": "job_1",
    "node_id": "node-1",
    "template_id": "mine",
    "name": "churn",
    "decision_id": "d_1",
    "batch_id": "batch_1",
    "workflow_id": "workflow_1",
    "step_id": "train",
    "workflow_name": "pipeline",
}


class Away:
    """A port whose store is away."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def unavailable(*_: Any, **__: Any) -> Any:
            raise Unavailable("MongoDB")

        return unavailable


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as running:
        for port in fields(Services):
            if port.name not in HERE and not port.name.startswith("_"):
                object.__setattr__(running.services, port.name, Away())
        yield running


async def test_every_operation_says_when_to_come_back(api: Api) -> None:
    asked = 0
    for path, item in api.app.openapi()["paths"].items():
        for method in (m for m in METHODS if m in item):
            operation = item[method]["operationId"]
            if operation in ALIVE:
                continue
            body = next(iter(REQUESTS.get(operation, {"none": None}).values()))
            url = path.format(**{**KNOWN, "name": "churn"})
            answer = await api.client.request(method.upper(), url, **({} if body is None else {"json": body}))
            assert (answer.status_code, operation) == (503, operation), answer.text
            assert int(answer.headers["retry-after"]) >= 1
            problem = answer.json()
            assert problem["code"] == "unavailable"
            assert "look first, or send it again with the same Idempotency-Key" in problem["detail"]
            asked += 1
    assert asked >= 25


async def test_a_keyed_post_is_not_answered_from_nowhere(api: Api) -> None:
    for path in ("/jobs/job_1/pause", "/jobs/job_1/retry", "/nodes/n/drain", "/jobs/job_1/resume"):
        answer = await api.client.post(f"/api/v1{path}", headers={"Idempotency-Key": "k"})
        assert answer.status_code == 503
    answer = await api.client.post("/api/v1/jobs/cancel", json={"tag": "t"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 503
