"""The graph of dependencies in MongoDB: the edges stand in the jobs, what is announced in one document.

    graph: {_id: "dependencies", version: 12, announced: {"job_…": {seq, entry, fields}}}

An announcement is one guarded update. Nothing is locked by it: a process that dies leaves an edge that everybody counts
with, until whoever meets it makes the change or sees that it can be made no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from pymongo.errors import DuplicateKeyError

from app.domain.job import DependencyType
from app.domain.ports.graph import GraphState
from app.domain.transitions import Change
from app.storage.documents import entry_document, entry_from, field_document
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document

log = structlog.get_logger()
DOCUMENT = "dependencies"


class MongoDependencyGraph:
    """`DependencyGraph` over the collections `jobs` and `graph`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._patience, self._jobs, self._graph = patience, database["jobs"], database["graph"]

    async def state(self) -> GraphState:
        with answered():
            found = await self._graph.find_one({"_id": DOCUMENT})
        if found is None:
            return GraphState()
        return GraphState(int(found["version"]), dict(_announced(found.get("announced") or {})))

    async def announce(self, change: Change, version: int) -> bool:
        """Sent again after a lost answer it meets itself, which counts as announced."""
        path = f"announced.{change.job_id}"
        seen = {"_id": DOCUMENT, "version": version, path: {"$exists": False}}
        update = {"$inc": {"version": 1}, "$set": {path: _change_document(change)}}
        try:
            result = await until_answered(
                lambda: self._graph.update_one(seen, update, upsert=version == 0), self._patience
            )
        except DuplicateKeyError:
            return await self._is_announced(change)
        return bool(result.matched_count or result.upserted_id) or await self._is_announced(change)

    async def _is_announced(self, change: Change) -> bool:
        with answered():
            same = {"_id": DOCUMENT, f"announced.{change.job_id}.entry.op": change.entry.op}
            return await self._graph.find_one(same, {"_id": 1}) is not None

    async def settle(self, change: Change) -> None:
        path = f"announced.{change.job_id}"
        same = {"_id": DOCUMENT, f"{path}.entry.op": change.entry.op}
        await until_answered(lambda: self._graph.update_one(same, {"$unset": {path: ""}}), self._patience)

    async def parents_of(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        with answered():
            found = await self._jobs.find({"_id": {"$in": list(job_ids)}}, {"dependencies": 1}).to_list(None)
        return {d["_id"]: _ids(d.get("dependencies")) for d in found}

    async def children_of(self, job_ids: Iterable[str], most: int) -> dict[str, tuple[str, ...]]:
        wanted = sorted(set(job_ids))
        naming = {"dependencies": {"$in": wanted}, "dependencies.0": {"$exists": True}}
        named = {"dependencies": {"$setIntersection": ["$dependencies", wanted]}}
        with answered():
            found = await self._jobs.find(naming, named).limit(most).to_list(None)
        children: defaultdict[str, list[str]] = defaultdict(list)
        for child in found:
            for parent in child["dependencies"]:
                children[parent].append(str(child["_id"]))
        return {parent: tuple(sorted(ids)) for parent, ids in children.items()}


def _change_document(change: Change) -> Document:
    fields = {name: field_document(name, value) for name, value in change.fields.items()}
    return {"seq": change.seq, "entry": entry_document(change.entry), "fields": fields}


def _announced(stored: Mapping[str, Any]) -> Iterable[tuple[str, Change]]:
    """The readable ones; what was spoilt by hand announces nothing."""
    for job_id, d in stored.items():
        try:
            fields = {**d["fields"], "dependencies": tuple(d["fields"]["dependencies"])}
            fields["dependency_type"] = DependencyType(fields["dependency_type"])
            yield job_id, Change(job_id, d["seq"], entry_from(d["entry"]), fields)
        except (KeyError, TypeError, ValueError) as error:
            log.error("graph.announcement_unreadable", job_id=job_id, error=repr(error))


def _ids(named: Any) -> tuple[str, ...]:
    """The readable ones: a document that was spoilt has no edges to follow."""
    return tuple(each for each in named if isinstance(each, str)) if isinstance(named, list) else ()
