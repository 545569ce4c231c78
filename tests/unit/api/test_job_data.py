"""Logs, metrics and artifacts of a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.api.downsample import downsample
from app.api.schemas import job_data as shapes
from app.domain.job import Job
from app.domain.records import ArtifactInfo, LogLine, MetricPoint
from app.domain.transitions import RunEnd, complete, place, start
from tests.unit.api.harness import Api, frames, take
from tests.unit.api.shapes import assert_shape

JOBS = "/api/v1/jobs"


def line(api: Api, n: int, step: str = "noop") -> LogLine:
    return LogLine(n, api.clock.now(), step, "stdout", f"line {n}")


async def running(api: Api) -> Job:
    job = await api.job(await api.submit())
    job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    return await api.commit(job, start(job, api.services.stamp()))


async def test_log_lines_are_read_in_pages(api: Api) -> None:
    job = await running(api)
    await api.services.logs.append(job.id, 1, [line(api, n) for n in range(1, 6)])
    first = (await api.client.get(f"{JOBS}/{job.id}/logs", params={"limit": 3})).json()
    assert_shape(first, shapes.JobLogs)
    rest = (await api.client.get(f"{JOBS}/{job.id}/logs", params={"after": first["next_after"]})).json()
    assert [x["n"] for x in first["lines"] + rest["lines"]] == [1, 2, 3, 4, 5]
    none = (await api.client.get(f"{JOBS}/{job.id}/logs", params={"step": "other"})).json()
    assert none["lines"] == []
    assert (await api.client.get(f"{JOBS}/{job.id}/logs", params={"run_no": 2})).json()["lines"] == []


async def test_following_a_log_gives_stored_and_live_lines_once_and_ends_with_the_job(api: Api) -> None:
    job = await running(api)
    await api.services.logs.append(job.id, 1, [line(api, 1), line(api, 2)])
    async with api.client.stream("GET", f"{JOBS}/{job.id}/logs", params={"follow": "true"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = frames(response)
        stored = await take(stream, 2)
        await api.services.logs.append(job.id, 1, [line(api, 3)])
        for n in (2, 3):
            await api.tell_line(job.id, 1, line(api, n))
        [live] = await take(stream, 1)
        await api.services.logs.append(job.id, 1, [line(api, 4)])
        await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
        rest = [frame async for frame in stream]
    seen = [frame.data for frame in [*stored, live, *rest]]
    assert [f'"text":"line {n}"' in data for n, data in enumerate(seen, 1)] == [True] * 4
    assert {frame.event for frame in [*stored, live, *rest]} == {"log.line"}


async def test_following_the_log_of_a_finished_job_ends_at_once(api: Api) -> None:
    job = await running(api)
    await api.services.logs.append(job.id, 1, [line(api, 1)])
    await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
    answer = await api.client.get(f"{JOBS}/{job.id}/logs", params={"follow": "true"})
    assert answer.text.count("event: log.line") == 1


async def test_a_follower_is_told_gaps_later_runs_and_nothing_twice(api: Api) -> None:
    """Lines 1-2 are stored; 3-9 are gone when 10 comes; a second run follows, and a late line of the first."""
    job = await running(api)
    await api.services.logs.append(job.id, 1, [line(api, 1), line(api, 2)])
    async with api.client.stream("GET", f"{JOBS}/{job.id}/logs", params={"follow": "true"}) as response:
        stream = frames(response)
        await take(stream, 2)
        await api.services.logs.append(job.id, 1, [line(api, 10)])
        await api.tell_line(job.id, 1, line(api, 10))
        [cut, tenth] = await take(stream, 2)
        for run_no, n in ((2, 1), (1, 11), (2, 1), (2, 2)):
            await api.services.logs.append(job.id, run_no, [line(api, n)])
            await api.tell_line(job.id, run_no, line(api, n))
        rest = await take(stream, 3)
        await api.services.logs.delete_between(job.id, 1, 2, 11)
        job = await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
        assert [frame async for frame in stream] == [], "what was deleted behind it is not told again, nor as a gap"
    assert "7 lines left out" in cut.data and '"n":9' in cut.data
    told = [json.loads(frame.data) for frame in (tenth, *rest)]
    assert [(x["run_no"], x["n"]) for x in told] == [(1, 10), (2, 1), (1, 11), (2, 2)]


def points(values: list[float], api: Api) -> list[MetricPoint]:
    return [MetricPoint("loss", v, n, "train", api.clock.now()) for n, v in enumerate(values)]


async def test_metric_series_are_thinned_out(api: Api) -> None:
    job = await running(api)
    values = [0.0] * 1000
    values[333] = 9.0
    await api.services.metrics.append(job.id, 1, points(values, api))
    url = f"{JOBS}/{job.id}/metrics"
    body = (await api.client.get(url, params={"max_points": 50})).json()
    assert_shape(body, shapes.JobMetricSeries)
    series = body["metrics"]["loss"]
    assert len(series) <= 50
    assert (series[0]["n"], series[-1]["n"]) == (0, 999)
    assert 9.0 in [p["value"] for p in series]
    assert (await api.client.get(url, params={"names": "other"})).json()["metrics"] == {}


def test_a_short_series_stays_as_it_is() -> None:
    at = timedelta()
    series = [MetricPoint("m", float(n), n, None, at) for n in range(5)]  # type: ignore[arg-type]
    assert downsample(series, 5) == series
    assert [p.n for p in downsample(series, 2)] == [0, 4]
    assert len(downsample(series * 100, 7)) <= 7


async def store(api: Api, folder: Path, job: Job, name: str, content: bytes) -> str:
    """Its digest."""
    source = folder / "source"
    source.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    info = ArtifactInfo(job.id, 1, name, "artifact", len(content), digest, "text/html", api.clock.now())
    await api.services.artifacts.put(info, source)
    return digest


async def test_an_artifact_is_streamed_whole_as_a_download(api: Api, tmp_path: Path) -> None:
    job = await running(api)
    content = b"\0\1model" * 1000
    name = "modèl.html"
    digest = await store(api, tmp_path, job, name, content)
    listing = (await api.client.get(f"{JOBS}/{job.id}/artifacts")).json()
    assert_shape(listing, shapes.ArtifactList)
    assert listing["artifacts"][0]["sha256"] == digest
    answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/{name}")
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (f'"{digest}"', "bytes")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''mod%C3%A8l.html"
    assert answer.headers["content-security-policy"] == "sandbox"
    missing = await api.client.get(f"{JOBS}/{job.id}/artifacts/other")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    near = await api.client.get(f"{JOBS}/{job.id}/artifacts/model.html")
    assert (near.status_code, near.json()["nearest"]) == (404, name)


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=3-", 3, 10), ("bytes=-4", 6, 10), ("bytes=8-99", 8, 10), ("Bytes = 2-4", 2, 5)],
)
async def test_a_part_of_an_artifact_is_answered_alone(
    api: Api, tmp_path: Path, wanted: str, start: int, stop: int
) -> None:
    job = await running(api)
    digest = await store(api, tmp_path, job, "model", b"0123456789")
    for if_range in ({}, {"If-Range": f'"{digest}"'}):
        answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/model", headers={"Range": wanted, **if_range})
        assert (answer.status_code, answer.content) == (206, b"0123456789"[start:stop])
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/10"
        assert (answer.headers["content-length"], answer.headers["etag"]) == (str(stop - start), f'"{digest}"')
        assert answer.headers["content-security-policy"] == "sandbox"


@pytest.mark.parametrize(
    "headers",
    [
        *({"Range": wanted} for wanted in ("bytes", "bytes=", "bytes=x-y", "bytes=5-2", "lines=0-1", "bytes=0-1,4-5")),
        *({"Range": wanted} for wanted in ("bytes=0-1,99-", "bytes=0-4,2-8", "bytes=--5", "bytes=0-1x")),
        {"Range": "bytes=0-1", "If-Range": '"another"'},
        {"Range": "bytes=10-", "If-Range": "Mon, 30 Nov 2026 12:00:00 GMT"},
        {"If-None-Match": '"another", "and-another"'},
    ],
)
async def test_what_names_no_part_is_answered_with_the_whole(api: Api, tmp_path: Path, headers: dict[str, str]) -> None:
    job = await running(api)
    await store(api, tmp_path, job, "model", b"0123456789")
    answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/model", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("content", "wanted"), [(b"0123456789", "bytes=10-"), (b"0123456789", "bytes=-0"), (b"", "bytes=0-")]
)
async def test_a_part_beyond_the_end_is_refused(api: Api, tmp_path: Path, content: bytes, wanted: str) -> None:
    job = await running(api)
    await store(api, tmp_path, job, "model", content)
    answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/model", headers={"Range": wanted})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(content)}"


async def test_an_artifact_that_is_replaced_while_it_is_asked_for_is_answered_as_it_is_now(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers and bytes are of one: no client glues two together."""
    job = await running(api)
    held = f'"{await store(api, tmp_path, job, "model", b"0123456789")}"'
    read, now = api.services.artifacts.read, []

    def late(*what: Any) -> Any:
        async def blocks() -> AsyncIterator[bytes]:
            if not now:
                now.append(await store(api, tmp_path, job, "model", b"the second one"))
            async for block in read(*what):
                yield block

        return blocks()

    monkeypatch.setattr(api.services.artifacts, "read", late)
    headers = {"Range": "bytes=4-", "If-Range": held}
    answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/model", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"the second one")
    assert (answer.headers["etag"], answer.headers["content-length"]) == (f'"{now[0]}"', "14")


async def test_an_artifact_that_the_client_holds_is_not_sent_again(api: Api, tmp_path: Path) -> None:
    job = await running(api)
    etag = f'"{await store(api, tmp_path, job, "model", b"0123456789")}"'
    for held in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        headers = {"If-None-Match": held, "Range": "bytes=20-"}
        answer = await api.client.get(f"{JOBS}/{job.id}/artifacts/model", headers=headers)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert "content-length" not in answer.headers


@pytest.mark.parametrize("what", ["logs?run_no=", "logs?after=", "metrics?run_no="])
async def test_a_number_that_no_store_takes_is_refused(api: Api, what: str) -> None:
    answer = await api.client.get(f"{JOBS}/{await api.submit()}/{what}{2**63}")
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["path"]) == (422, what.partition("?")[2].rstrip("="))


@pytest.mark.parametrize("what", ["logs", "logs?run_no=1", "metrics", "metrics?run_no=1", "artifacts", "artifacts/x"])
async def test_a_job_that_is_not_there_has_no_data(api: Api, what: str) -> None:
    answer = await api.client.get(f"{JOBS}/job_none/{what}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
