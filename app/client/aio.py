"""The asynchronous client: requests with clear errors, and event streams that resume by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from .core import ApiError, EventParser, StreamEvent, Unreachable

RECONNECT_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
AGAIN = frozenset({429, 503})
SILENCE_SECONDS = 45.0
"""The service sends at least a comment every 15 s; a longer silence means that the connection is dead."""


class AsyncClient:
    """`async with AsyncClient("http://127.0.0.1:8084") as client: job = await client.submit({...})`."""

    def __init__(self, url: str = "http://127.0.0.1:8084") -> None:
        self.url = url.rstrip("/")
        timeout = httpx.Timeout(30.0, read=SILENCE_SECONDS)
        self._http = httpx.AsyncClient(base_url=self.url, timeout=timeout, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """One call below `/api/v1`; the JSON of the answer. Raises ApiError and Unreachable.

        What the service asks to be sent again (503, 429) is, as it says and for at most 30 s; a POST carries a key, so
        that it is done once however often it is sent.
        """
        if method == "POST":
            options["headers"] = {"Idempotency-Key": uuid4().hex, **options.get("headers", {})}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = await self._send(method, path, options)
            wait = float(answer.headers.get("retry-after", RECONNECT_SECONDS))
            if answer.status_code not in AGAIN or time.monotonic() + wait > deadline:
                break
            await asyncio.sleep(wait)
        if answer.is_error:
            raise ApiError(answer.status_code, _problem(answer))
        return answer.json()

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        try:
            return await self._http.request(method, f"/api/v1{path}", **options)
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from error

    async def submit(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Submit a job; its answer with `job_id`, `queue_position` and `estimated_start_time`."""
        answer: dict[str, Any] = await self.request("POST", "/jobs", json=job)
        return answer

    async def job(self, job_id: str) -> dict[str, Any]:
        """The whole job."""
        answer: dict[str, Any] = await self.request("GET", f"/jobs/{job_id}")
        return answer

    async def cancel(self, job_id: str, reason: str | None = None) -> dict[str, Any]:
        """Cancel a job; the job with `message`, which says what happens now, as after every control."""
        return await self._control(f"/jobs/{job_id}/cancel", reason=reason)

    async def pause(self, job_id: str, reason: str | None = None, *, release: bool = False) -> dict[str, Any]:
        """Hold a waiting job, freeze a running one, or have it give its resources back."""
        return await self._control(f"/jobs/{job_id}/pause", reason=reason, release=release or None)

    async def resume(self, job_id: str, reason: str | None = None) -> dict[str, Any]:
        """Let a paused job go on, or wait again."""
        return await self._control(f"/jobs/{job_id}/resume", reason=reason)

    async def retry(self, job_id: str, reason: str | None = None, **changes: Any) -> dict[str, Any]:
        """Another attempt of a job that ended without success. `changes`: `parameters`, `resources`, `priority`."""
        return await self._control(f"/jobs/{job_id}/retry", reason=reason, **changes)

    async def cancel_jobs(self, reason: str | None = None, **filters: Any) -> dict[str, Any]:
        """Cancel every job that matches all filters (`status`, `tag`, `template`, …); what became of how many."""
        return await self._control("/jobs/cancel", reason=reason, **filters)

    async def drain_node(self, node_id: str, reason: str | None = None) -> dict[str, Any]:
        """Have a node take no more work; the node."""
        return await self._control(f"/nodes/{node_id}/drain", reason=reason)

    async def resume_node(self, node_id: str, reason: str | None = None) -> dict[str, Any]:
        """Let a drained node take work again; the node."""
        return await self._control(f"/nodes/{node_id}/resume", reason=reason)

    async def _control(self, path: str, **body: Any) -> dict[str, Any]:
        said = {name: value for name, value in body.items() if value is not None}
        answer: dict[str, Any] = await self.request("POST", path, json=said)
        return answer

    async def events(self, path: str = "/events") -> AsyncIterator[StreamEvent]:
        """The events of a stream; a lost or ended connection is resumed after the last id, and nothing is missed.

        Ends after the event that says that its job ended; a stream of everything goes on until the caller leaves it.
        """
        parser = EventParser()
        of_one_job = path.startswith("/jobs/")
        while True:
            headers = {"Last-Event-ID": parser.last_id} if parser.last_id else {}
            try:
                async with self._http.stream("GET", f"/api/v1{path}", headers=headers) as answer:
                    if answer.is_error:
                        await answer.aread()
                        raise ApiError(answer.status_code, _problem(answer))
                    async for chunk in answer.aiter_raw():
                        for event in parser.feed(chunk):
                            yield event
                            if of_one_job and event.ends_job:
                                return
            except httpx.TransportError:
                pass  # the server went away; it is asked again after a moment, as after a polite end
            await asyncio.sleep(RECONNECT_SECONDS)


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"title": answer.reason_phrase, "detail": answer.text[:500]}
