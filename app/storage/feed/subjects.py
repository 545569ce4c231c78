"""Whose a progress or a log line is: the tags, batch and workflow of the job, which such a change does not carry.

Remembered from the job's last transition. Only a job that has not moved since this process began to watch is read,
once; so the feed reads nothing per event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.storage.feed.events import subject_of
from app.storage.mongo import Collection

REMEMBERED = 10_000


class EventSubjects:
    """The subjects of the jobs last heard of."""

    def __init__(self, jobs: Collection) -> None:
        self._jobs = jobs
        self._known: dict[str, Mapping[str, Any]] = {}

    def remember(self, job_id: str, last: Mapping[str, Any]) -> None:
        """Keep what a transition told; the job not heard of for longest is forgotten."""
        self._known.pop(job_id, None)
        self._known[job_id] = subject_of(job_id, last)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    async def of(self, job_id: str) -> Mapping[str, Any]:
        """The subject of a job."""
        if job_id not in self._known:
            found = await self._jobs.find_one({"_id": job_id}, {"last": 1})
            self.remember(job_id, (found or {}).get("last") or {})
        return self._known[job_id]
