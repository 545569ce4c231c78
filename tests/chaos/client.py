"""A client of the service that loses no answer: it keeps the same Idempotency-Key until it is answered.

Every id that it was answered with 201 is in `answered`; nothing else was promised.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from app.domain.states import TERMINAL
from tests.chaos.moments import boot_time, elapse
from tests.support.wait import until

AGAIN_SECONDS = 0.2
PATIENCE_SECONDS = 90.0
AT_ONCE = 16
PAGE = 500
UNAVAILABLE = 503


class Client:
    """Talks to the first API that answers."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = urls
        self.answered: dict[str, float] = {}
        """When each id was answered, on the boot clock."""
        self.refused = 0
        """How often a submit was answered with 503."""
        self.slowness: list[float] = []
        """Seconds from the first try of each submit to its answer."""
        self._http = httpx.AsyncClient(
            trust_env=False, timeout=httpx.Timeout(10.0), limits=httpx.Limits(max_connections=100)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def submit(self, body: Mapping[str, Any], key: str | None = None) -> str:
        """The id of one job, however often it had to be asked for."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        asked = boot_time()
        answer = await self.request("POST", "/jobs", json=dict(body), headers=headers)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["job_id"]
        self.slowness.append(boot_time() - asked)
        self.answered.setdefault(job_id, boot_time())
        return job_id

    async def submit_all(self, bodies: Iterable[Mapping[str, Any]]) -> list[str]:
        """Many, some at a time; their ids in order."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(body: Mapping[str, Any]) -> str:
            async with gate:
                return await self.submit(body)

        return await asyncio.gather(*(one(body) for body in bodies))

    async def try_submit(self, body: Mapping[str, Any], key: str | None = None) -> httpx.Response:
        """One request, one answer; an id in it counts as promised."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._http.post(f"{self.urls[0]}/api/v1/jobs", json=dict(body), headers=headers)
        if answer.status_code == 201:
            self.answered.setdefault(answer.json()["job_id"], boot_time())
        return answer

    async def control(self, job_id: str, action: str, **body: Any) -> httpx.Response:
        """`cancel`, `pause`, `resume` or `retry`."""
        return await self.request("POST", f"/jobs/{job_id}/{action}", json=body)

    async def job(self, job_id: str) -> dict[str, Any]:
        answer = await self.request("GET", f"/jobs/{job_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def when(self, job_id: str, status: str, seconds: float = 60.0, run_no: int = 0) -> dict[str, Any]:
        """The job once it is in this state, in this run or a later one."""

        async def there() -> dict[str, Any] | None:
            job = await self.job(job_id)
            return job if job["status"] == status and job["run_no"] >= run_no else None

        found = await until(there, seconds, every=0.05, message=f"{job_id} to be {status}")
        assert found is not None
        return found

    async def begun(self, job_id: str, run_no: int, seconds: float = 60.0) -> dict[str, Any]:
        """The job once this run or a later one has begun, whatever has become of it since."""

        async def has() -> dict[str, Any] | None:
            job = await self.job(job_id)
            runs = [entry["run_no"] for entry in job["history"] if entry["to"] == "RUNNING"]
            return job if max(runs, default=0) >= run_no else None

        found = await until(has, seconds, every=0.05, message=f"run {run_no} of {job_id} to begin")
        assert found is not None
        return found

    async def jobs(self) -> dict[str, dict[str, Any]]:
        """All that was promised, as it is now, and everything else that there is; ids that were lost are missing."""
        ids = {*self.answered, *await self.listed()}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(job_id: str) -> dict[str, Any] | None:
            async with gate:
                answer = await self.request("GET", f"/jobs/{job_id}")
            return answer.json() if answer.is_success else None

        found = await asyncio.gather(*(one(job_id) for job_id in ids))
        return {job["job_id"]: job for job in found if job is not None}

    async def listed(self, **wanted: str) -> list[str]:
        """The ids of all jobs, or of those in a state."""
        ids: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await self.request("GET", "/jobs", params={"limit": str(PAGE), **wanted, **cursor})
            page = answer.json()
            ids += [job["job_id"] for job in page["jobs"]]
            if not page.get("next_cursor"):
                return ids
            cursor = {"cursor": page["next_cursor"]}

    async def all_ended(self, seconds: float) -> None:
        """Wait until every promised job has ended."""
        ended: set[str] = set()

        async def all_are() -> bool:
            for status in TERMINAL:
                ended.update(await self.listed(status=status))
            return ended >= self.answered.keys()

        await until(all_are, seconds, every=0.2, message="all answered jobs to end")

    async def again_or_ended(self, ids: Iterable[str]) -> bool:
        """Whether one of these runs again, or else all have ended."""
        jobs = [await self.job(job_id) for job_id in ids]
        return any(job["run_no"] > 1 for job in jobs) or all(job["status"] in TERMINAL for job in jobs)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask one API after the other until one answers anything but 503."""
        deadline = boot_time() + PATIENCE_SECONDS
        turn = 0
        while True:
            url = self.urls[turn % len(self.urls)]
            turn += 1
            try:
                answer = await self._http.request(method, f"{url}/api/v1{path}", **options)
                if answer.status_code != UNAVAILABLE:
                    return answer
                self.refused += path == "/jobs" and method == "POST"
            except httpx.TransportError:
                if boot_time() > deadline:
                    raise
            assert boot_time() < deadline, f"{method} {path} was refused for {PATIENCE_SECONDS} s"
            await elapse(AGAIN_SECONDS)
