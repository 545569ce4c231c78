"""The event streams, over a real server: what a client gets, in which order, and when it ends."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.api import hub as hub_module
from app.domain.control_transitions import cancel_waiting
from app.domain.events import Event
from app.domain.transitions import RunEnd, complete, place, start
from tests.support.wait import until
from tests.unit.api.harness import Api, frames, take

JOBS = "/api/v1/jobs"
EVENTS = "/api/v1/events"


async def test_the_general_stream_opens_with_a_place_and_brings_what_follows(api: Api) -> None:
    job = await api.job(await api.submit(tags=["a"]))
    async with api.client.stream("GET", EVENTS) as response:
        stream = frames(response)
        [opening] = await take(stream, 1)
        await api.commit(job, cancel_waiting(job, api.services.stamp("me"), "why"))
        [event] = await take(stream, 1)
    assert (opening.event, opening.data) == ("stream.open", "{}")
    assert opening.id
    assert response.headers["cache-control"] == "no-cache"
    data = json.loads(event.data)
    assert event.event == data["type"] == "job.state"
    assert (data["from"], data["to"], data["actor"], data["detail"], data["seq"]) == (
        "QUEUED", "CANCELLED", "me", "why", 2,
    )  # fmt: skip
    assert event.id != opening.id


async def test_a_client_that_comes_back_gets_exactly_what_it_missed(api: Api) -> None:
    job = await api.job(await api.submit())
    async with api.client.stream("GET", EVENTS) as response:
        [opening] = await take(frames(response), 1)
    for n in range(5):
        await api.feed.publish(Event("node.state", {"type": "node.state", "n": n}))
    await until(lambda: api.hub.after(opening.id or "") and len(api.hub.after(opening.id or "") or []) == 5)
    place = opening.id or ""
    for params, headers in (({}, {"Last-Event-ID": place}), ({"last_event_id": place}, {})):
        async with api.client.stream("GET", EVENTS, params=params, headers=headers) as response:
            stream = frames(response)
            missed = await take(stream, 5)
            await api.commit(job)
        assert [json.loads(f.data)["n"] for f in missed] == [0, 1, 2, 3, 4]
    async with api.client.stream("GET", EVENTS, headers={"Last-Event-ID": missed[2].id or ""}) as response:
        assert [json.loads(f.data)["n"] for f in await take(frames(response), 2)] == [3, 4]


@pytest.mark.parametrize("token", ["w82", "zzz", "w82" + "ff" * 8, "p000000000000000", "w" + "f" * 30, "\x7f"])
async def test_a_place_that_is_not_held_gives_a_resync_never_a_silent_gap(api: Api, token: str) -> None:
    await api.feed.publish(Event("node.state", {"type": "node.state"}))
    async with api.client.stream("GET", EVENTS, params={"last_event_id": token}) as response:
        [frame] = await take(frames(response), 1)
    assert frame.event == "resync"
    assert frame.id


async def test_filters_hold_together(api: Api) -> None:
    red = await api.job(await api.submit(tags=["red"]))
    blue = await api.job(await api.submit(tags=["blue"]))
    params = {"types": "job.state", "status": "CANCELLED", "tag": "red"}
    async with api.client.stream("GET", EVENTS, params=params) as response:
        stream = frames(response)
        await take(stream, 1)
        await api.commit(blue, cancel_waiting(blue, api.services.stamp(), None))
        red = await api.commit(red, place(red, "node-1", (), api.services.stamp()))
        await api.commit(red, cancel_waiting(red, api.services.stamp(), None))
        [frame] = await take(stream, 1)
    assert (json.loads(frame.data)["job_id"], json.loads(frame.data)["to"]) == (red.id, "CANCELLED")


async def test_an_unknown_type_is_refused_with_the_nearest(api: Api) -> None:
    answer = await api.client.get(EVENTS, params={"types": "job.stat"})
    assert (answer.status_code, answer.json()["errors"][0]["nearest"]) == (422, "job.state")


async def test_a_stream_ends_politely_after_its_timeout(api: Api) -> None:
    answer = await api.client.get(EVENTS, params={"timeout_seconds": 0.05})
    assert answer.status_code == 200
    assert answer.text.startswith("event: stream.open\n")


async def test_a_silent_stream_beats(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.sse.HEARTBEAT_SECONDS", 0.02)
    beats = 0
    async with api.client.stream("GET", EVENTS) as response, asyncio.timeout(30):
        lines = response.aiter_lines()
        while beats < 2:
            beats += await anext(lines) == ": beat"


async def test_a_job_stream_opens_with_the_present_state_and_ends_with_the_terminal_one(api: Api) -> None:
    job = await api.job(await api.submit())
    async with api.client.stream("GET", f"{JOBS}/{job.id}/events") as response:
        stream = frames(response)
        [opening] = await take(stream, 1)
        job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
        job = await api.commit(job, start(job, api.services.stamp()))
        await api.feed.publish(
            Event("job.progress", {"type": "job.progress", "job_id": job.id}, subject={"job_id": job.id})
        )
        await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
        rest = [frame async for frame in stream]
    assert (opening.id, json.loads(opening.data)["to"]) == ("1", "QUEUED")
    assert [(f.event, f.id) for f in rest] == [
        ("job.state", "2"), ("job.state", "3"), ("job.progress", None), ("job.state", "4"),
    ]  # fmt: skip


async def test_a_job_stream_resumes_from_the_history_exactly(api: Api) -> None:
    job = await api.job(await api.submit())
    job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    job = await api.commit(job, start(job, api.services.stamp()))
    job = await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
    url = f"{JOBS}/{job.id}/events"
    answer = await api.client.get(url, headers={"Last-Event-ID": "1"})
    assert [line for line in answer.text.splitlines() if line.startswith("id:")] == ["id: 2", "id: 3", "id: 4"]
    last = await api.client.get(url)
    assert last.text.count("event: job.state") == 1
    assert (await api.client.get(url, headers={"Last-Event-ID": "4"})).status_code == 204
    assert "id: 4" in (await api.client.get(url, headers={"Last-Event-ID": "99"})).text
    assert "id: 4" in (await api.client.get(url, headers={"Last-Event-ID": "x"})).text


async def test_a_job_stream_fills_a_gap_that_the_feed_left(api: Api) -> None:
    job = await api.job(await api.submit())
    async with api.client.stream("GET", f"{JOBS}/{job.id}/events") as response:
        stream = frames(response)
        await take(stream, 1)
        change = place(job, "node-1", (), api.services.stamp())
        assert await api.services.jobs.commit([change]) == [True]
        job = await api.job(job.id)
        await api.commit(job, start(job, api.services.stamp()))
        gap = await take(stream, 2)
        job = await api.job(job.id)
        assert await api.services.jobs.commit([complete(job, RunEnd(result={}), api.services.stamp())]) == [True]
        await api.feed.publish(Event("resync", {"type": "resync", "reason": "history lost"}))
        rest = [frame async for frame in stream]
    assert [f.id for f in gap] == ["2", "3"]
    assert [(f.event, f.id) for f in rest] == [("job.state", "4")]


async def test_types_narrow_a_job_stream_and_it_still_ends(api: Api) -> None:
    job = await api.job(await api.submit())
    async with api.client.stream("GET", f"{JOBS}/{job.id}/events", params={"types": "log.line"}) as response:
        await until(lambda: api.hub._by_job)
        await api.commit(job, cancel_waiting(job, api.services.stamp(), None))
        assert [frame async for frame in frames(response)] == []


async def test_closing_the_hub_ends_every_stream_at_once(api: Api) -> None:
    job_id = await api.submit()
    paths = [EVENTS, f"{JOBS}/{job_id}/events", f"{JOBS}/{job_id}/logs?follow=true"]

    async def read(path: str) -> str:
        return (await api.client.get(path)).text

    readers = [asyncio.create_task(read(path)) for path in paths]
    await until(lambda: len(api.hub._general) == 1 and sum(map(len, api.hub._by_job.values())) == 2)
    api.hub.close()
    assert len(await asyncio.wait_for(asyncio.gather(*readers), 30)) == 3
    assert not api.hub._general
    assert not api.hub._by_job


async def test_a_subscriber_that_leaves_is_forgotten(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.sse.HEARTBEAT_SECONDS", 0.02)
    async with api.client.stream("GET", EVENTS) as response:
        await take(frames(response), 1)
        assert len(api.hub._general) == 1
    await until(lambda: not api.hub._general)


def test_the_ring_is_as_long_as_the_architecture_says() -> None:
    assert hub_module.RING == 10_000
