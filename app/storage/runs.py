"""Summaries of finished runs in MongoDB: one small document a run, `_id` "{job}-{run}", so a second write is none."""

from __future__ import annotations

from app.domain.durations import TELLING, Kinship, PastRun
from app.domain.ids import run_key
from app.domain.records import RunSummary
from app.storage.documents import vector_document
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
    }


_PAST = dict.fromkeys(("tenant", "template", "algorithm", "dataset", "run_seconds", "outcome", "finished_at"), 1)


def _past_run(d: Document) -> PastRun:
    kin = Kinship(d["tenant"], d["template"], d["algorithm"], d["dataset"])
    return PastRun(kin, float(d["run_seconds"]), d["outcome"], d["finished_at"])


class MongoRunStore:
    """`RunStore` over the collection `runs`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database = database
        self._runs = database["runs"]
        self._inserts = GroupedInserts(self._runs, patience)

    async def insert(self, summary: RunSummary) -> None:
        await self._inserts.insert([_document(summary)])

    async def alike(self, template: str, algorithm: str | None, limit: int = 200) -> list[PastRun]:
        wanted: list[Document] = [{"template": template}]
        if algorithm is not None:
            wanted.append({"algorithm": algorithm})
        found: dict[str, PastRun] = {}
        for query in wanted:
            found |= await self._telling(query, limit)
        return sorted(found.values(), key=lambda r: r.at, reverse=True)

    async def _telling(self, query: Document, limit: int) -> dict[str, PastRun]:
        telling = query | {"outcome": {"$in": list(TELLING)}}
        with answered():
            newest = self._runs.find(telling, _PAST).sort([("finished_at", -1)]).limit(limit)
            return {d["_id"]: _past_run(d) async for d in newest}

    async def completed_by_node(self) -> dict[str, int]:
        counts: list[Document] = [
            {"$match": {"outcome": COMPLETED}},
            {"$group": {"_id": "$node_id", "runs": {"$sum": 1}}},
        ]
        with answered():
            rows = [row async for row in self._database.aggregate("runs", counts)]
        return {row["_id"]: row["runs"] for row in rows if row["_id"] is not None}
