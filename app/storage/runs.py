"""Summaries of finished runs in MongoDB: one small document a run, `_id` "{job}-{run}", so a second write is none."""

from __future__ import annotations

from app.domain.ids import run_key
from app.domain.records import RunSummary
from app.domain.sizing.features import Features
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import TELLING, PastRun
from app.storage.amounts import vector_document, vector_from
from app.storage.failures import PATIENCE, answered
from app.storage.group_commit import GroupedInserts
from app.storage.mongo import Database, Document

COMPLETED = "completed"
"""The outcome of a run that ended well."""


def _document(run: RunSummary) -> Document:
    return {
        "_id": run_key(run.job_id, run.run_no),
        "job_id": run.job_id,
        "run_no": run.run_no,
        "attempt": run.attempt,
        "tenant": run.tenant,
        "template": run.template,
        "template_version": run.template_version,
        "algorithm": run.algorithm,
        "dataset": run.dataset,
        "priority": run.priority.value,
        "node_id": run.node_id,
        "asked": vector_document(run.asked),
        "peak_memory_mib": run.peak_memory_mib,
        "cpu_seconds": run.cpu_seconds,
        "wait_seconds": run.wait_seconds,
        "run_seconds": run.run_seconds,
        "outcome": run.outcome,
        "fingerprint": run.fingerprint,
        "finished_at": run.finished_at,
        "features": None if run.features is None else run.features.parts(),
        "sized": run.sized,
    }


_PAST = {
    "_id": 0,
    **dict.fromkeys(
        ("outcome", "finished_at", "run_seconds", "asked", "peak_memory_mib", "cpu_seconds", "features"), 1
    ),
}
"""What is read of a past run: no name of a tenant, a job or a data set."""


def _past_run(d: Document) -> PastRun:
    """One that was stored before there were features has none."""
    features = d.get("features")
    return PastRun(
        outcome=d["outcome"],
        at=d["finished_at"],
        seconds=float(d["run_seconds"]),
        asked=vector_from(d["asked"]),
        peak_mib=d["peak_memory_mib"],
        cpu_seconds=d["cpu_seconds"],
        features=None if features is None else Features.from_parts(features),
    )


class MongoRunStore:
    """`RunStore` over the collection `runs`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database = database
        self._runs = database["runs"]
        self._inserts = GroupedInserts(self._runs, patience)

    async def insert(self, summary: RunSummary) -> None:
        await self._inserts.insert([_document(summary)])

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        telling = {**group.values, "outcome": {"$in": list(TELLING)}}
        with answered():
            newest = self._runs.find(telling, _PAST).sort([("finished_at", -1)]).limit(limit)
            return [_past_run(d) async for d in newest]

    async def completed_by_node(self) -> dict[str, int]:
        counts: list[Document] = [
            {"$match": {"outcome": COMPLETED}},
            {"$group": {"_id": "$node_id", "runs": {"$sum": 1}}},
        ]
        with answered():
            rows = [row async for row in self._database.aggregate("runs", counts)]
        return {row["_id"]: row["runs"] for row in rows if row["_id"] is not None}
