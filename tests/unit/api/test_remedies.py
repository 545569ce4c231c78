"""Every remedy can be followed: each call that it names is one of the API, and each command one of `tensorfleet`."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest
from starlette.routing import compile_path

from app.api.application import create_app
from app.config import load_settings
from app.domain.explain import WAIT_CODES, Fact, Reason
from app.domain.remedies import BY_CODE, Remedy, remedies

FACTS: dict[str, Fact] = {
    "ahead": 2, "selector": "zone=a, disk=ssd", "tenant": "vision", "job": "job_b", "first": "job_c", "cause": "job_d",
    "memory_gb": 4, "cpu_cores_asked": 9,
}  # fmt: skip
NEED_NOTHING = {"start_time", "retry_delay"}
URL = "http://localhost/api/v1"


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, re.Pattern[str]]]:
    @asynccontextmanager
    async def lifespan(_: object) -> Iterator[dict[str, object]]:  # type: ignore[misc]
        yield {}

    paths = create_app(load_settings({}), lifespan).openapi()["paths"]  # type: ignore[arg-type]
    return [(method.upper(), compile_path(path)[0]) for path, item in paths.items() for method in item]


def all_remedies() -> list[tuple[str, Remedy]]:
    some = [FACTS, FACTS | {"draining": "node-1, node-2"}]
    return [(code, r) for code in BY_CODE for facts in some for r in remedies(Reason(code, "", facts), "job_a", URL)]


def test_every_reason_to_wait_has_a_remedy() -> None:
    assert set(WAIT_CODES) - BY_CODE.keys() == NEED_NOTHING
    assert {code for code, _ in all_remedies()} == BY_CODE.keys()


@pytest.mark.parametrize(("code", "remedy"), all_remedies(), ids=lambda v: v if isinstance(v, str) else v.code)
def test_what_a_remedy_names_exists(code: str, remedy: Remedy, calls: list[tuple[str, re.Pattern[str]]]) -> None:
    assert remedy.text.endswith(".")
    words = shlex.split(remedy.command or "")
    if not words or words[0] != "curl":
        assert not words or words[-2:] == ["tensorfleet", "worker"]
        return
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    [url] = [word for word in words if word.startswith(URL)]
    path = url.removeprefix("http://localhost").partition("?")[0]
    assert [m for m, pattern in calls if m == method and pattern.match(path)], (code, method, path)
    if "-d" in words:
        assert isinstance(json.loads(words[words.index("-d") + 1]), dict)
