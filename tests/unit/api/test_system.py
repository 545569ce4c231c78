"""Errors, readiness, metrics and the pages of the process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from app.api.errors import status_of
from app.api.problem_codes import CODES
from app.api.routes.system import CSP, STATIC
from app.api.schemas.cluster import Readiness
from app.api.schemas.events import Problem
from app.api.state import LoopStatus
from app.domain.errors import TensorFleetError, Unavailable
from app.main import judged
from app.quarantine import Unreadable
from app.scheduler.service import SchedulerStatus
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape


def tree(root: type[TensorFleetError] = TensorFleetError) -> Iterator[type[TensorFleetError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


def test_every_error_of_the_tree_has_a_status_and_a_page() -> None:
    kinds = [kind for kind in tree() if kind.__module__.startswith("app.")]
    assert len(kinds) >= 11
    for kind in kinds:
        assert status_of(kind) == CODES[kind.code].status, kind


async def test_a_problem_has_its_shape_and_the_request_id(api: Api) -> None:
    answer = await api.client.get("/api/v1/jobs/job_none", headers={"X-Request-ID": "mine-1"})
    problem = answer.json()
    Problem.model_validate(problem)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert (problem["type"], problem["instance"]) == ("/docs/errors/not_found", "/api/v1/jobs/job_none")
    page = await api.client.get(problem["type"])
    assert (page.status_code, "not_found" in page.text) == (200, True)


async def test_a_malformed_request_id_is_replaced(api: Api) -> None:
    answer = await api.client.get("/healthz", headers={"X-Request-ID": 'a"b<c>'})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_an_unknown_path_is_a_problem(api: Api) -> None:
    answer = await api.client.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.client.get("/docs/errors/nothing")).status_code == 404


async def test_a_problem_has_a_page_of_its_own(api: Api) -> None:
    page = await api.client.get("/docs/errors/invalid")
    assert "<code>errors</code>" in page.text
    assert '<link rel="icon" href="data:,">' in page.text, "else a browser asks for one that is not there"
    assert "`" not in page.text


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/jobs/job_1", "DELETE, GET, HEAD, OPTIONS"),
        ("/api/v1/jobs/job_1/cancel", "OPTIONS, POST"),
        ("/api/v1/datasets/iris", "DELETE, GET, HEAD, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/static/docs/page.css", "GET, HEAD, OPTIONS"),
    ],
)
async def test_405_names_every_method(api: Api, path: str, allowed: str) -> None:
    answer = await api.client.patch(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    asked = await api.client.options(path)
    assert (asked.status_code, asked.content, asked.headers["allow"]) == (204, b"", allowed)


async def test_options_of_what_is_not_there_is_404(api: Api) -> None:
    assert (await api.client.options("/api/v1/nothing")).status_code == 404


async def test_a_store_that_is_away_says_when_to_come_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("MongoDB", 7)

    monkeypatch.setattr(type(api.services.jobs), "get", away)
    answer = await api.client.get("/api/v1/jobs/job_1")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "7", "unavailable")


async def test_a_fault_of_the_service_tells_nothing_of_its_insides(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(type(api.services.jobs), "get", broken)
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        answer = await api.client.get("/api/v1/jobs/job_1")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    [entry] = [e for e in logs if e["event"] == "request.failed"]
    assert entry["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    text = (await api.client.get("/metrics")).text
    assert 'code="500",operation="get_job"' in text


async def test_the_process_is_alive_whatever_the_stores_say(api: Api) -> None:
    api.health.checks["mongodb"] = "no answer"
    assert (await api.client.get("/healthz")).json() == {"status": "alive"}


async def test_readiness_tells_each_part(api: Api) -> None:
    ready = await api.client.get("/readyz")
    assert ready.status_code == 200
    assert_shape(ready.json(), Readiness)
    assert {name: ready.json()[name] for name in ("status", "checks")} == {
        "status": "ready",
        "checks": {"mongodb": "ok", "redis": "ok", "feed": "ok: watch", "scheduler": "ok: leading"},
    }
    api.health.checks["redis"] = "no answer in 1 s"
    degraded = await api.client.get("/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert "submits are stored" in degraded.json()["checks"]["redis"]
    api.health.checks["mongodb"] = "no answer in 1 s"
    away = await api.client.get("/readyz")
    assert (away.status_code, away.json()["status"]) == (503, "unavailable")


async def test_a_dead_loop_fails_readiness(api: Api) -> None:
    api.loop[0] = LoopStatus(False, "KeyError: x")
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["scheduler"]) == (503, "KeyError: x")
    api.loop[0] = LoopStatus(True, "standby")
    await api.hub.stop()
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["feed"]) == (503, "not running")


async def test_a_leader_that_waits_for_redis_is_degraded(api: Api) -> None:
    """Submits are stored: to take the process out of service would make a lost index a lost service."""
    api.health.checks["redis"] = "does not answer (ConnectionError)"
    api.loop[0] = LoopStatus(False, "Redis does not answer", lacks="Redis")
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["scheduler"] == "Redis does not answer"
    api.health.checks["redis"] = "ok"
    answer = await api.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    api.loop[0] = LoopStatus(False, "MongoDB does not answer", lacks="MongoDB")
    assert (await api.client.get("/readyz")).status_code == 503


async def test_readiness_tells_figures(api: Api) -> None:
    figures = {"leading": True, "term": 2, "seconds_since": {"cycle": 0.1, "scheduler.timers": None}}
    api.loop[0] = LoopStatus(True, "leading", {**figures, "holding_back": None})
    await api.services.quarantine.hold([Unreadable("job", "job_x", "torn"), Unreadable("job", "job_x", "torn")])
    told = (await api.client.get("/readyz")).json()
    assert_shape(told, Readiness)
    assert told["detail"]["quarantined"] == 1
    assert told["detail"]["feed_mode"] == "watch"
    assert told["detail"]["scheduler"] == {**figures, "holding_back": None}


@pytest.mark.parametrize(
    ("status", "ok"),
    [
        (SchedulerStatus(True, 1, 59.0, None), True),
        (SchedulerStatus(True, 1, 61.0, None), False),
        (SchedulerStatus(False, None, 3_600.0, None), True),
        (SchedulerStatus(True, 1, 0.1, "KeyError: x"), False),
    ],
    ids=["young", "old", "standby", "trouble"],
)
def test_a_leader_without_cycles_is_not_ready(status: SchedulerStatus, ok: bool) -> None:
    assert judged(status).ok is ok


def test_what_a_leader_waits_for_is_told_with_its_trouble() -> None:
    status = SchedulerStatus(True, 1, 0.1, "Redis does not answer", "Redis")
    assert judged(status)[:2] == (False, "Redis does not answer")
    assert judged(status).lacks == "Redis"


async def test_metrics_are_by_operation_never_by_id(api: Api) -> None:
    job_id = await api.submit()
    await api.client.get(f"/api/v1/jobs/{job_id}")
    await api.client.get("/api/v1/nothing")
    text = (await api.client.get("/metrics")).text
    assert 'tensorfleet_http_request_duration_seconds_count{code="200",operation="get_job"} 1.0' in text
    assert 'code="404",operation="unmatched"' in text
    assert job_id not in text


async def test_the_docs_page_is_served_from_the_process_alone(api: Api) -> None:
    page = await api.client.get("/docs")
    assert page.headers["content-security-policy"] == CSP
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text), "no inline script"
    assert not re.search(r"<style|\sstyle=|\son\w+=", page.text), "no inline style, no handler"
    assert "//" not in page.text, "no other host"
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert (await api.client.get(asset)).status_code == 200, asset
    script = (await api.client.get("/static/docs/init.js")).text
    assert "://" not in script
    document = await api.client.get("/openapi.json")
    assert document.json()["openapi"] == "3.1.0"


def test_the_vendored_files_are_those_whose_sums_were_noted() -> None:
    folder = STATIC / "vendor" / "swagger-ui"
    lines = [line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert {"LICENSE", "swagger-ui.css", "swagger-ui-bundle.js"} <= sums.keys()
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert {p.name for p in folder.iterdir()} == {*sums, "SHA256SUMS", "VERSION"}
