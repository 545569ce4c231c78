"""HEAD is GET that ends with its headers: for probes, for `curl -I`, and to ask how large an artifact is."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.records import ArtifactInfo
from tests.unit.api.harness import Api


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/templates", "/docs", "/static/docs/page.css"])
async def test_it_answers_what_get_does_without_the_body(api: Api, path: str) -> None:
    head, get = await api.client.head(path), await api.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in ("content-type", "content-length")} == {
        "content-type": get.headers["content-type"],
        "content-length": str(len(get.content)),
    }


async def test_it_fails_as_get_does(api: Api) -> None:
    found = [await api.client.head(path) for path in ("/api/v1/jobs/job_none", "/nothing", "/api/v1/jobs?limit=0")]
    assert [answer.status_code for answer in found] == [404, 404, 422]
    assert {answer.content for answer in found} == {b""}
    refused = await api.client.head("/api/v1/queue/reorder")
    assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")


async def test_a_stream_is_not_opened(api: Api) -> None:
    assert (await api.client.head("/api/v1/events")).headers["content-type"].startswith("text/event-stream")
    text = (await api.client.get("/metrics")).text
    assert "tensorfleet_stream_subscribers 0.0" in text
    assert 'code="200",operation="stream_events"' in text


async def test_an_artifact_is_not_read(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.write_bytes(b"model")
    job_id = await api.submit()
    digest = hashlib.sha256(b"model").hexdigest()
    info = ArtifactInfo(job_id, 1, "model", "artifact", 5, digest, "application/zip", api.clock.now())
    await api.services.artifacts.put(info, source)
    read: list[ArtifactInfo] = []
    genuine = api.services.artifacts.read

    async def counted(which: ArtifactInfo, start: int, stop: int) -> AsyncIterator[bytes]:
        read.append(which)
        async for chunk in genuine(which, start, stop):
            yield chunk

    monkeypatch.setattr(api.services.artifacts, "read", counted)
    head = await api.client.head(f"/api/v1/jobs/{job_id}/artifacts/model")
    assert (head.headers["content-length"], head.headers["content-type"], read) == ("5", "application/zip", [])
    assert (await api.client.get(f"/api/v1/jobs/{job_id}/artifacts/model")).content == b"model"
    assert read == [info]
    part = await api.client.head(f"/api/v1/jobs/{job_id}/artifacts/model", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.headers["content-length"]) == (200, "5"), "only of GET there are parts"
    held = await api.client.head(
        f"/api/v1/jobs/{job_id}/artifacts/model", headers={"If-None-Match": head.headers["etag"]}
    )
    assert (held.status_code, held.headers["etag"], read) == (304, f'"{digest}"', [info])
