"""The graph of dependencies in MongoDB: the edges stand in the jobs, its version in a document of its own.

    graph: {_id: "dependencies", version: 12}

An edge is added in one transaction over that document and the job's: of two that were decided on the same version one
finds another there, or meets the other's write, and looks again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.job import Job
from app.domain.transitions import Change
from app.storage.documents import SUBJECT, change_update, field_document
from app.storage.failures import PATIENCE, answered
from app.storage.mongo import Database
from app.storage.transactions import in_transaction

DOCUMENT = "dependencies"


class _LookAgain(Exception):
    """The job or the graph is not as it was."""


class MongoDependencyGraph:
    """`DependencyGraph` over the collections `jobs` and `graph`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database, self._patience = database, patience
        self._jobs, self._graph = database["jobs"], database["graph"]

    async def version(self) -> int:
        with answered():
            found = await self._graph.find_one({"_id": DOCUMENT})
        return int((found or {}).get("version", 0))

    async def commit(self, job: Job, change: Change, version: int) -> bool:
        update = change_update(change, {name: field_document(name, getattr(job, name)) for name in SUBJECT})

        async def work(session: Any) -> None:
            seen = {"_id": DOCUMENT, "version": version}
            raised = await self._graph.update_one(seen, {"$inc": {"version": 1}}, upsert=version == 0, session=session)
            guard = {"_id": change.job_id, "seq": change.seq}
            changed = await self._jobs.update_one(guard, update, session=session)
            if not changed.matched_count or not (raised.matched_count or raised.upserted_id):
                raise _LookAgain

        try:
            await in_transaction(self._database, work, self._patience)
        except (_LookAgain, DuplicateKeyError):
            return await self._is_made(change)
        return True

    async def _is_made(self, change: Change) -> bool:
        with answered():
            made = {"_id": change.job_id, "history.op": change.entry.op}
            return await self._jobs.find_one(made, {"_id": 1}) is not None

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        with answered():
            found = await self._jobs.find({"_id": {"$in": list(job_ids)}}, {"dependencies": 1}).to_list(None)
        return {d["_id"]: _ids(d.get("dependencies")) for d in found}

    async def children_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        wanted = set(job_ids)
        naming = {"dependencies": {"$in": sorted(wanted)}, "dependencies.0": {"$exists": True}}
        with answered():
            found = await self._jobs.find(naming, {"dependencies": 1}).to_list(None)
        children: defaultdict[str, list[str]] = defaultdict(list)
        for child in found:
            for parent in wanted.intersection(_ids(child["dependencies"])):
                children[parent].append(str(child["_id"]))
        return {parent: tuple(sorted(ids)) for parent, ids in children.items()}


def _ids(named: Any) -> tuple[str, ...]:
    """The readable ones: a document that was spoilt has no edges to follow."""
    return tuple(each for each in named if isinstance(each, str)) if isinstance(named, list) else ()
