"""The route class of the whole API: a body is read and judged as bytes before anything is built from it.

In this order, so that each refusal is cheap: size (declared, then counted), media type and encoding, JSON, depth.
Unknown query parameters are refused like unknown fields, and a single one that is given twice.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from inspect import signature
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.validation import path_text
from app.domain.errors import FieldError, Invalid, TooLarge
from app.domain.json import MAX_DEPTH, Json, unsafe_places
from app.domain.nearest import unknown_name

PREFIX = "/api/v1"
MOST_DISCARDED, DISCARD_SECONDS = 64 << 20, 10.0
"""What is taken in beyond a body's cap, only so that the client gets to read why it is refused."""
_NOT_A_NUMBER = re.compile(rb"[\s:,\[](-?(?:NaN|Infinity))\b")
LARGE: set[Callable[..., Any]] = set()
"""The functions whose bodies may be as large as a batch (`large_body`)."""
F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BodyRequest(Request):
    """A request whose body has been read and parsed."""

    def __init__(self, request: Request, content: bytes, value: Json) -> None:
        super().__init__(request.scope, request.receive)
        self.content = content
        self.value = value

    async def body(self) -> bytes:
        return self.content

    async def json(self) -> Json:
        return self.value


class StrictRoute(APIRoute):
    """Reads bodies under the cap and refuses what is not known."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if _reads_request_itself(self):
            self.app = _app_of(self.get_route_handler())

    def get_route_handler(self) -> Handler:
        handle = self.endpoint if _reads_request_itself(self) else super().get_route_handler()
        known = _query_names(self)
        takes_body, large = self.body_field is not None, self.endpoint in LARGE

        async def strict(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request, known)
            return await handle(await read_body(request, batch=large) if takes_body else request)

        return strict


def _app_of(handle: Handler) -> ASGIApp:
    """The handler as an application. What it raises the layer around all routes answers, so none is put here."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handle(Request(scope, receive, send))
        await response(scope, receive, send)

    return app


def large_body(function: F) -> F:
    """Marks an operation whose body may be as large as MAX_BATCH_MB says."""
    LARGE.add(function)
    return function


def api_router(prefix: str, tag: str) -> APIRouter:
    """A router for operations of one tag; each is named as its function."""
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=StrictRoute, generate_unique_id_function=lambda route: route.name
    )


def _reads_request_itself(route: APIRoute) -> bool:
    """Whether the function takes the request and nothing else, so that there is nothing for FastAPI to solve."""
    return list(signature(route.endpoint).parameters) == ["request"]


def _query_names(route: APIRoute) -> dict[str, bool]:
    """The query parameters of a route, and of each whether it may be repeated."""
    names = {p["name"]: False for p in (route.openapi_extra or {}).get("parameters", ()) if p["in"] == "query"}
    todo = [route.dependant]
    while todo:
        dependant = todo.pop()
        names.update((field.alias, _is_list(field.field_info.annotation)) for field in dependant.query_params)
        todo.extend(dependant.dependencies)
    return names


def _is_list(annotation: Any) -> bool:
    return list in {get_origin(each) for each in (annotation, *get_args(annotation))}


def _check_query(request: Request, known: Mapping[str, bool]) -> None:
    given = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if hollow := [name for name, value in given if "\0" in value]:
        raise Invalid(FieldError(name[:80], "must not hold a NUL character") for name in hollow)
    counts = Counter(name for name, _ in given)
    if unknown := sorted(counts.keys() - known.keys()):
        raise Invalid(FieldError(name[:80], *unknown_name("query parameter", name, known)) for name in unknown)
    if repeated := sorted(name for name, times in counts.items() if times > 1 and not known[name]):
        raise Invalid(FieldError(name, "takes one value, and is given more than once") for name in repeated)


async def read_body(request: Request, *, batch: bool = False) -> BodyRequest:
    """The request with its body read and parsed; the value of an empty one is None. `batch`: it may be as large as a
    batch. Raises TooLarge and Invalid."""
    state, setting = request.app.state, "MAX_BATCH_MB" if batch else "MAX_BODY_MB"
    too_large = TooLarge(state.max_batch_bytes if batch else state.max_body_bytes, setting)
    headers = dict(reversed(request.scope["headers"]))  # of one that comes twice the first
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > too_large.limit_bytes:
        await _discard(request, int(declared))
        raise too_large
    content = await _content(request, too_large)
    if not content:
        return BodyRequest(request, b"", None)
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        raise HTTPException(415, "Send the body as JSON, with the header Content-Type: application/json.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        message = "Send the body as it is, without Content-Encoding: a compressed one is not taken."
        raise HTTPException(415, message, {"Accept-Encoding": "identity"})
    return BodyRequest(request, content, parse(content))


async def _discard(request: Request, declared: int) -> None:
    """Take in a body that is too large and throw it away, within bounds: a client that is still sending when the
    connection is closed sees it break, and never the answer. One that waits to be told (`Expect`) need not send."""
    if declared > MOST_DISCARDED or "expect" in request.headers:
        return
    with suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for _ in request.stream():
                pass


async def _content(request: Request, too_large: TooLarge) -> bytes:
    chunks, size, more = [], 0, True
    while more and size <= too_large.limit_bytes + MOST_DISCARDED:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The connection was closed before the whole body had come.")
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size <= too_large.limit_bytes:
            chunks.append(chunk)
    if size > too_large.limit_bytes:
        raise too_large
    return b"".join(chunks)


def parse(content: bytes) -> Json:
    """The JSON value. Raises Invalid for what is not JSON, as NaN and infinities, and for what is nested too deep."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        found = _NOT_A_NUMBER.search(content)
        if found:
            message = f"{found[1].decode()} is not JSON; leave the value out or send null"
        else:
            message = f"not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Invalid.one("", message, code="invalid_json") from None
    if b"\\u0000" in content and (places := list(_nul_places(value, ()))):
        raise Invalid(FieldError(path_text(place)[:200], "must not hold a NUL character") for place in places[:10])
    if content.count(b"{") + content.count(b"[") > MAX_DEPTH and _too_deep(value):
        deep = [e for e in unsafe_places(value, "") if "deeper" in e.message]
        raise Invalid(FieldError(e.path.lstrip(".")[:200], e.message) for e in deep[:10])
    return value


def _nul_places(value: Json, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where a text or a key holds NUL: no store, file name or argument of a command takes it."""
    if isinstance(value, str) and "\0" in value:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(key, str) and "\0" in key:
            yield (*place, key)
        if len(place) <= MAX_DEPTH:
            yield from _nul_places(inner, (*place, key))


def _too_deep(value: Json) -> bool:
    """Whether the value is nested deeper than the bound; level by level, so that depth costs no stack."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
