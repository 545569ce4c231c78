"""Summaries of finished runs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from app.domain.analytics.needs import Need
from app.domain.analytics.rollups import Grain
from app.domain.ids import run_key
from app.domain.records import RunSummary
from app.domain.sizing.kinship import Group
from app.domain.sizing.measures import Measured
from app.domain.sizing.residuals import TELLING, PastRun
from app.storage.run_documents import COMPLETED, KILLED


class MemoryRunStore:
    """`RunStore`."""

    def __init__(self) -> None:
        self._stored: dict[str, RunSummary] = {}

    async def insert(self, summary: RunSummary) -> None:
        self._stored.setdefault(run_key(summary.job_id, summary.run_no), summary)

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        wanted = group.values.items()
        found = [
            run
            for run in self._stored.values()
            if run.outcome in TELLING and all(getattr(run, name) == value for name, value in wanted)
        ]
        found.sort(key=lambda run: run.finished_at, reverse=True)
        return [_past_run(run, dataset=run.dataset if group.of_tenant else None) for run in found[:limit]]

    async def completed_by_node(self) -> dict[str, int]:
        return dict(Counter(r.node_id for r in self._stored.values() if r.node_id and r.outcome == COMPLETED))

    async def first_end(self) -> datetime | None:
        return min((run.finished_at for run in self._stored.values()), default=None)

    async def ends_by_minute(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        return dict(Counter(Grain.MINUTE.floor(run.finished_at) for run in self._between(begin, end)))

    async def ended(self, begin: datetime, end: datetime, batch: int = 500) -> AsyncIterator[list[RunSummary]]:
        found = self._between(begin, end)
        for n in range(0, len(found), batch):
            yield found[n : n + batch]

    def _between(self, begin: datetime, end: datetime) -> list[RunSummary]:
        return [run for run in self._by_time() if begin <= run.finished_at < end]

    async def get_many(self, keys: Iterable[str]) -> dict[str, RunSummary]:
        return {key: self._stored[key] for key in keys if key in self._stored}

    async def needs(self, since: datetime, tenant: str | None, limit: int) -> list[Need]:
        told = [run for run in self._by_time() if run.finished_at >= since and tenant in {None, run.tenant}]
        return [need for run in told if (need := _need(run)) is not None][-limit:]

    def _by_time(self) -> list[RunSummary]:
        return [run for _, run in sorted(self._stored.items(), key=lambda pair: (pair[1].finished_at, pair[0]))]


def _need(run: RunSummary) -> Need | None:
    if run.outcome not in {COMPLETED, KILLED} or not run.peak_memory_mib or not run.asked.memory_mib:
        return None
    kin = (run.tenant, run.template, run.algorithm, run.dataset)
    return Need(kin, Measured(float(run.asked.memory_mib), run.peak_memory_mib, run.outcome == KILLED), run.sized)


def _past_run(run: RunSummary, *, dataset: str | None) -> PastRun:
    return PastRun(
        outcome=run.outcome,
        at=run.finished_at,
        seconds=run.run_seconds,
        asked=run.asked,
        peak_mib=run.peak_memory_mib,
        cpu_seconds=run.cpu_seconds,
        features=run.features,
        dataset=dataset,
    )
