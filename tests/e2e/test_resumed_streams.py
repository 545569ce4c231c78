"""Event streams over the death of their process: a client comes back to another one, or to the same after its restart.

It finds what followed the last event it saw: no gap, nothing twice, no resync.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.ports import own_port
from tests.support.processes import Api, api

NOOP = {"template": "noop", "executor": "inline"}


class Listener:
    """A client of `/events` that remembers what it saw, and where it was."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.last_event_id: str | None = None

    def submitted(self) -> list[str]:
        """The jobs whose first entry it saw, in its order."""
        return [data["job_id"] for name, data in self.events if name == "job.state" and data["seq"] == 1]

    async def listen(self, served: Api, jobs: int) -> None:
        """Until it has seen that many jobs in all."""
        headers = {} if self.last_event_id is None else {"Last-Event-ID": self.last_event_id}
        params = {"types": "job.state", "timeout_seconds": 120}
        async with served.client.stream("GET", "/api/v1/events", headers=headers, params=params) as response:
            assert response.status_code == 200
            async for name, id_, data in _frames(response.aiter_lines()):
                self.last_event_id = id_ or self.last_event_id
                self.events.append((name, data))
                if len(self.submitted()) >= jobs:
                    return


async def _frames(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str | None, dict[str, Any]]]:
    frame: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
        elif "event" in frame:
            yield frame["event"], frame.get("id"), json.loads(frame["data"])
            frame = {}


async def _open(listener: Listener, served: Api) -> None:
    await listener.listen(served, 0)


async def test_a_client_goes_on_at_another_process_and_after_a_restart(tmp_path: Path, env: dict[str, str]) -> None:
    listener, port = Listener(), own_port()
    async with api(tmp_path, env) as other:
        async with api(tmp_path, env, port=port) as first:
            await _open(listener, first)
            jobs = [(await first.submit(NOOP))["job_id"] for _ in range(3)]
            await listener.listen(first, 2)
            jobs += [(await first.submit(NOOP))["job_id"] for _ in range(2)]
            await first.process.kill()
        jobs.append((await other.submit(NOOP))["job_id"])
        await listener.listen(other, 4)
        jobs += [(await other.submit(NOOP))["job_id"] for _ in range(2)]
        async with api(tmp_path, env, port=port) as again:
            jobs.append((await again.submit(NOOP))["job_id"])
            await listener.listen(again, len(jobs))
    assert listener.submitted() == jobs
    assert "resync" not in [name for name, _ in listener.events]


async def test_who_comes_new_to_a_restarted_process_is_told_nothing_old(tmp_path: Path, env: dict[str, str]) -> None:
    async with api(tmp_path, env) as served:
        await served.submit(NOOP)
    fresh = Listener()
    async with api(tmp_path, env) as served:
        await _open(fresh, served)
        assert [name for name, _ in fresh.events] == ["stream.open"]
        new = (await served.submit(NOOP))["job_id"]
        await fresh.listen(served, 1)
    assert fresh.submitted() == [new]
