"""Summaries of finished runs in memory."""

from __future__ import annotations

from collections import Counter

from app.domain.records import RunSummary
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import TELLING, PastRun
from app.storage.runs import COMPLETED


class MemoryRunStore:
    """`RunStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, int], RunSummary] = {}

    async def insert(self, summary: RunSummary) -> None:
        self._stored.setdefault((summary.job_id, summary.run_no), summary)

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        wanted = group.values.items()
        found = [
            run
            for run in self._stored.values()
            if run.outcome in TELLING and all(getattr(run, name) == value for name, value in wanted)
        ]
        found.sort(key=lambda run: run.finished_at, reverse=True)
        return [_past_run(run) for run in found[:limit]]

    async def completed_by_node(self) -> dict[str, int]:
        return dict(Counter(r.node_id for r in self._stored.values() if r.node_id and r.outcome == COMPLETED))


def _past_run(run: RunSummary) -> PastRun:
    return PastRun(
        outcome=run.outcome,
        at=run.finished_at,
        seconds=run.run_seconds,
        asked=run.asked,
        peak_mib=run.peak_memory_mib,
        cpu_seconds=run.cpu_seconds,
        features=run.features,
    )
