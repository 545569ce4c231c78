"""Bodies of requests as they come: in parts, broken off, too large, and nested as deep as they may be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from starlette.exceptions import HTTPException

from app.api.routing import parse, read_body
from app.domain.errors import Invalid, TooLarge
from app.domain.json import MAX_DEPTH

CAP = 64


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def request_of(*messages: dict[str, Any]) -> Request:
    """A request without a declared length whose body comes in these messages."""
    coming: Iterator[dict[str, Any]] = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    state = SimpleNamespace(max_body_bytes=CAP, max_batch_bytes=CAP)
    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "headers": headers, "app": SimpleNamespace(state=state)}, receive)


async def test_a_body_is_put_together_from_its_parts() -> None:
    read = await read_body(request_of(part(b'{"a"', more=True), part(b"", more=True), part(b": 1}")))
    assert (read.content, read.value) == (b'{"a": 1}', {"a": 1})


async def test_a_body_that_is_broken_off_is_refused_as_such() -> None:
    with pytest.raises(HTTPException, match="before the whole body") as refused:
        await read_body(request_of(part(b'{"a"', more=True), {"type": "http.disconnect"}))
    assert refused.value.status_code == 400


async def test_a_body_is_counted_whatever_it_declares() -> None:
    assert (await read_body(request_of(part(json.dumps("x" * (CAP - 2)).encode())))).value == "x" * (CAP - 2)
    with pytest.raises(TooLarge):
        await read_body(request_of(part(b" " * CAP, more=True), part(b"1")))


def nested(depth: int) -> bytes:
    """Objects and lists in turn, so many inside one another."""
    value: Any = [] if depth % 2 else {}
    for level in range(depth - 1, 0, -1):
        value = [value] if level % 2 else {"a": value}
    return json.dumps(value).encode()


def test_a_body_may_be_as_deep_as_the_bound_and_no_deeper() -> None:
    assert parse(nested(MAX_DEPTH)) is not None
    with pytest.raises(Invalid, match=f"deeper than {MAX_DEPTH} levels"):
        parse(nested(MAX_DEPTH + 1))


def test_what_is_wide_is_not_deep() -> None:
    assert len(parse(json.dumps([{}] * 10 * MAX_DEPTH).encode())) == 10 * MAX_DEPTH
    assert parse(json.dumps("[{" * MAX_DEPTH).encode()) == "[{" * MAX_DEPTH
