"""A reader of `/events` as a careful client is: it resumes where it was cut off, and reads again when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import orjson

from app.clock import SystemClock
from app.domain.timestamps import rfc3339
from tests.chaos.moments import elapse

RECONNECT_SECONDS = 0.2
SILENCE_SECONDS = 20.0
"""A stream sends a comment every 15 s; one that sends nothing for longer is dead."""


class Subscriber:
    """Keeps what it heard in `heard`, across reconnects to any of the APIs. `resyncs`: how often it must read again."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.heard: dict[tuple[str, int], str] = {}
        self.resyncs = 0
        self.resynced_at: datetime | None = None
        self.connections = 0
        self.opened = asyncio.Event()
        self._urls = urls
        self._last_id: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def state_of(self, job_id: str) -> str | None:
        """The newest state of a job that was told."""
        return self.heard[max(told)] if (told := [key for key in self.heard if key[0] == job_id]) else None

    def read_again(self, jobs: Mapping[str, Any]) -> None:
        """What a client does at a `resync`: take the histories as they are then. What came later must be told."""
        if self.resynced_at is None:
            return
        until = rfc3339(self.resynced_at)
        for job_id, job in jobs.items():
            self.heard |= {(job_id, e["seq"]): e["to"] for e in job["history"] if e["at"] <= until}

    async def _follow(self) -> None:
        timeout = httpx.Timeout(5, read=SILENCE_SECONDS)
        async with httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
            while True:
                url = self._urls[self.connections % len(self._urls)]
                self.connections += 1
                try:
                    await self._listen(client, url)
                except httpx.HTTPError:
                    await elapse(RECONNECT_SECONDS)

    async def _listen(self, client: httpx.AsyncClient, url: str) -> None:
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        async with client.stream("GET", f"{url}/api/v1/events", headers=headers) as answer:
            answer.raise_for_status()
            async for event, id_, data in _events(answer):
                self._last_id = id_ or self._last_id
                self.opened.set()
                self._take(event, data)

    def _take(self, event: str, data: str) -> None:
        if event == "resync":
            self.resyncs += 1
            self.resynced_at = SystemClock().now()
        elif event == "job.state":
            entry = orjson.loads(data)
            self.heard[entry["job_id"], entry["seq"]] = entry["to"]


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, str, str]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif fields:
            yield fields.get("event", ""), fields.get("id", ""), fields.get("data", "")
            fields = {}
