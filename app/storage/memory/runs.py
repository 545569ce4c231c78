"""Summaries of finished runs in memory."""

from __future__ import annotations

from collections import Counter

from app.domain.durations import TELLING, Kinship, PastRun
from app.domain.records import RunSummary
from app.storage.runs import COMPLETED


class MemoryRunStore:
    """`RunStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, int], RunSummary] = {}

    async def insert(self, summary: RunSummary) -> None:
        self._stored.setdefault((summary.job_id, summary.run_no), summary)

    async def alike(self, template: str, algorithm: str | None, limit: int = 200) -> list[PastRun]:
        telling = [r for r in self._stored.values() if r.outcome in TELLING]
        telling.sort(key=lambda r: r.finished_at, reverse=True)
        of_template = [r for r in telling if r.template == template][:limit]
        of_algorithm = [r for r in telling if algorithm is not None and r.algorithm == algorithm][:limit]
        found = {(r.job_id, r.run_no): r for r in (*of_template, *of_algorithm)}
        past = [
            PastRun(Kinship(r.tenant, r.template, r.algorithm, r.dataset), r.run_seconds, r.outcome, r.finished_at)
            for r in found.values()
        ]
        return sorted(past, key=lambda r: r.at, reverse=True)

    async def completed_by_node(self) -> dict[str, int]:
        return dict(Counter(r.node_id for r in self._stored.values() if r.node_id and r.outcome == COMPLETED))
