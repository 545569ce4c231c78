"""Summaries of finished runs in memory."""

from __future__ import annotations

from collections import Counter

from app.domain.records import RunSummary
from app.storage.runs import COMPLETED


class MemoryRunStore:
    """`RunStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, int], RunSummary] = {}

    async def insert(self, summary: RunSummary) -> None:
        self._stored.setdefault((summary.job_id, summary.run_no), summary)

    async def durations(self, template: str, limit: int = 100) -> list[float]:
        runs = [r for r in self._stored.values() if r.template == template and r.outcome == COMPLETED]
        runs.sort(key=lambda r: r.finished_at, reverse=True)
        return [r.run_seconds for r in runs[:limit]]

    async def completed_by_node(self) -> dict[str, int]:
        return dict(Counter(r.node_id for r in self._stored.values() if r.node_id and r.outcome == COMPLETED))
