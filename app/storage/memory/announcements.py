"""What was said of the starts of waiting jobs, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.calibration import Announcement


class MemoryAnnouncements:
    """`Announcements`."""

    def __init__(self) -> None:
        self._said: dict[str, Announcement] = {}
        self._left: list[Announcement] = []

    def say(self, job_id: str, announcement: Announcement) -> None:
        self._said[job_id] = announcement

    async def take(self, job_ids: Sequence[str]) -> dict[str, Announcement]:
        return {job: self._said.pop(job) for job in job_ids if job in self._said}

    async def disturb(self, job_ids: Sequence[str], why: str) -> None:
        for job in job_ids:
            if job in self._said and self._said[job].disturbed is None:
                self._said[job] = self._said[job].because(why)

    async def leave(self, job_ids: Sequence[str], why: str) -> None:
        self._left += [said.because(why) for said in (await self.take(job_ids)).values()]

    async def left(self) -> list[Announcement]:
        gone, self._left = self._left, []
        return gone
