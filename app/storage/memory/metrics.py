"""Metric points in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from app.domain.records import MetricPoint
from app.storage.memory.logs import Run, newest_run
from app.storage.metrics import ascending


class MemoryMetricStore:
    """`MetricStore`."""

    def __init__(self) -> None:
        self._stored: dict[Run, dict[MetricPoint, None]] = defaultdict(dict)

    async def append(self, job_id: str, run_no: int, points: Sequence[MetricPoint]) -> None:
        self._stored[job_id, run_no].update(dict.fromkeys(points))

    async def read(
        self, job_id: str, names: Iterable[str] = (), run_no: int | None = None
    ) -> dict[str, list[MetricPoint]]:
        points = self._stored.get((job_id, newest_run(self._stored, job_id) if run_no is None else run_no), {})
        chosen = frozenset(names)
        series: dict[str, list[MetricPoint]] = defaultdict(list)
        for point in points:
            if not chosen or point.name in chosen:
                series[point.name].append(point)
        return {name: ascending(found) for name, found in series.items()}

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        for run in [run for run in self._stored if run[0] in job_ids]:
            del self._stored[run]
