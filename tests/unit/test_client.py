"""The client without a network: events from bytes as they come, and what is sent again."""

from __future__ import annotations

import json

import httpx
import pytest

from app.client import ApiError, AsyncClient
from app.client.core import EventParser

STREAM = (
    b': hello\n\nevent: job.state\ndata: {"to":\r\ndata: "RUNNING"}\nid: 3\n\n'
    b'event: log.line\ndata: {"text": "\xc3\xa4"}\n\nevent: job.state\ndata: {"to": "COMPLETED"}\nid: 4\n\n'
)


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_events_are_the_same_however_the_bytes_arrive(size: int) -> None:
    parser = EventParser()
    events = [e for at in range(0, len(STREAM), size) for e in parser.feed(STREAM[at : at + size])]
    assert [(e.type, e.data, e.id) for e in events] == [
        ("job.state", {"to": "RUNNING"}, "3"),
        ("log.line", {"text": "ä"}, None),
        ("job.state", {"to": "COMPLETED"}, "4"),
    ]
    assert [e.ends_job for e in events] == [False, False, True]
    assert parser.last_id == "4"


def answering(*answers: httpx.Response) -> tuple[AsyncClient, list[httpx.Request]]:
    """A client of a service that gives these answers, and what it was sent."""
    client, sent, left = AsyncClient("http://service"), [], list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return left.pop(0)

    client._http = httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(answer))
    return client, sent


async def test_a_post_that_the_service_could_not_take_is_sent_again_under_the_same_key() -> None:
    away = httpx.Response(503, headers={"Retry-After": "0"}, json={"code": "unavailable"})
    client, sent = answering(away, away, httpx.Response(201, json={"job_id": "job_1"}))
    async with client:
        assert await client.submit({"template": "noop"}) == {"job_id": "job_1"}
    assert len({r.headers["idempotency-key"] for r in sent}) == 1
    assert len(sent) == 3


async def test_controls_send_what_was_said_and_nothing_else() -> None:
    client, sent = answering(*(httpx.Response(200, json={}) for _ in range(7)))
    async with client:
        await client.cancel("job_1")
        await client.pause("job_1", "the node is needed", release=True)
        await client.resume("job_1")
        await client.retry("job_1", priority="urgent", parameters={"C": 1})
        await client.cancel_jobs("wrong data", tag="t", status=["QUEUED"])
        await client.drain_node("node-1", "new kernel")
        await client.resume_node("node-1")
    assert [(r.url.path.removeprefix("/api/v1"), json.loads(r.content)) for r in sent] == [
        ("/jobs/job_1/cancel", {}),
        ("/jobs/job_1/pause", {"reason": "the node is needed", "release": True}),
        ("/jobs/job_1/resume", {}),
        ("/jobs/job_1/retry", {"priority": "urgent", "parameters": {"C": 1}}),
        ("/jobs/cancel", {"reason": "wrong data", "tag": "t", "status": ["QUEUED"]}),
        ("/nodes/node-1/drain", {"reason": "new kernel"}),
        ("/nodes/node-1/resume", {}),
    ]
    assert len({r.headers["idempotency-key"] for r in sent}) == 7


async def test_a_refusal_is_not_sent_again() -> None:
    refusal = {"code": "invalid", "errors": [{"path": "template", "message": "unknown template nop"}]}
    client, sent = answering(httpx.Response(422, json=refusal))
    async with client:
        with pytest.raises(ApiError, match="template: unknown template nop") as refused:
            await client.submit({"template": "nop"})
    assert refused.value.code == "invalid"
    assert len(sent) == 1


async def test_a_wait_beyond_patience_is_told() -> None:
    client, _ = answering(httpx.Response(503, headers={"Retry-After": "3600"}, json={"detail": "away"}))
    async with client:
        with pytest.raises(ApiError, match="away"):
            await client.job("job_1")
