"""Logs in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from app.domain.log_cuts import with_cuts
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
        told = with_cuts((lines[n] for n in sorted(lines) if n > after), after)
        return [line for line in told if step in (None, line.step)][:limit]

    async def delete_between(self, job_id: str, run_no: int, after: int, before: int) -> None:
        lines = self._stored[job_id, run_no]
        for n in [n for n in lines if after < n < before]:
            del lines[n]

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        for run in [run for run in self._stored if run[0] in job_ids]:
            del self._stored[run]


def newest_run(runs: Iterable[Run], job_id: str) -> int:
    """The newest run of the job; 0, which no run has, without any."""
    return max((run_no for i, run_no in runs if i == job_id), default=0)
