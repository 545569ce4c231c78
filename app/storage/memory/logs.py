"""Logs in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from app.domain.records import LogLine

Run = tuple[str, int]
"""A job's id and a `run_no`."""


class MemoryLogStore:
    """`LogStore`."""

    def __init__(self) -> None:
        self._stored: dict[Run, dict[int, LogLine]] = defaultdict(dict)

    async def append(self, job_id: str, run_no: int, lines: Sequence[LogLine]) -> None:
        for line in lines:
            self._stored[job_id, run_no].setdefault(line.n, line)

    async def read(
        self, job_id: str, run_no: int | None = None, *, after: int = 0, step: str | None = None, limit: int = 1_000
    ) -> list[LogLine]:
        lines = self._stored.get((job_id, newest_run(self._stored, job_id) if run_no is None else run_no), {})
        wanted = [lines[n] for n in sorted(lines) if n > after and step in (None, lines[n].step)]
        return wanted[:limit]


def newest_run(runs: Iterable[Run], job_id: str) -> int:
    """The newest run of the job; 0, which no run has, without any."""
    return max((run_no for i, run_no in runs if i == job_id), default=0)
