"""Metric points in MongoDB, in chunks as they came.

    {_id: "{job}-{run}-{digest of the points}", job_id, run_no, first, names: […],
     points: [{name, value, n, step, at}]}

A chunk is inserted once and never changed; the digest makes appending the same points again nothing.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.ids import run_key
from app.domain.records import MetricPoint
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.group_commit import GroupedInserts
from app.storage.logs import newest_run
from app.storage.mongo import Database, Document

CHUNK_POINTS = 5_000


class MongoMetricStore:
    """`MetricStore` over the collection `metrics`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._metrics, self._patience = database["metrics"], patience
        self._inserts = GroupedInserts(self._metrics, patience)

    async def append(self, job_id: str, run_no: int, points: Sequence[MetricPoint]) -> None:
        chunks = (points[n : n + CHUNK_POINTS] for n in range(0, len(points), CHUNK_POINTS))
        await self._inserts.insert([_chunk_document(job_id, run_no, chunk) for chunk in chunks])

    async def read(
        self, job_id: str, names: Iterable[str] = (), run_no: int | None = None
    ) -> dict[str, list[MetricPoint]]:
        if run_no is None:
            run_no = await newest_run(self._metrics, job_id)
        chosen = frozenset(names)
        wanted: Document = {"job_id": job_id, "run_no": run_no}
        if chosen:
            wanted["names"] = {"$in": sorted(chosen)}
        series: dict[str, list[MetricPoint]] = defaultdict(list)
        with answered():
            async for chunk in self._metrics.find(wanted).sort([("first", 1)]):
                for point in chunk["points"]:
                    if not chosen or point["name"] in chosen:
                        series[point["name"]].append(_point(point))
        return {name: ascending(points) for name, points in series.items()}

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        await until_answered(lambda: self._metrics.delete_many({"job_id": {"$in": list(job_ids)}}), self._patience)


def ascending(points: Iterable[MetricPoint]) -> list[MetricPoint]:
    """By time; points of one millisecond by their step of the run, else as they came."""
    return sorted(points, key=lambda p: (p.at, -1 if p.n is None else p.n))


def _chunk_document(job_id: str, run_no: int, points: Sequence[MetricPoint]) -> Document:
    digest = hashlib.blake2b(repr(list(points)).encode(), digest_size=12).hexdigest()
    return {
        "_id": f"{run_key(job_id, run_no)}-{digest}",
        "job_id": job_id,
        "run_no": run_no,
        "first": points[0].at,
        "names": sorted({p.name for p in points}),
        "points": [{"name": p.name, "value": p.value, "n": p.n, "step": p.step, "at": p.at} for p in points],
    }


def _point(d: Mapping[str, Any]) -> MetricPoint:
    return MetricPoint(d["name"], d["value"], d["n"], d["step"], d["at"])
