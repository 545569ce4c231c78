"""Decisions in MongoDB.

{_id, at, cycle, term, now, code_version, snapshot_hash, plan: {…}, verdict_counts: {code: n}, snapshot: bytes|null}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from app.domain.decisions import Decision
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document

_PARTS = ("at", "cycle", "term", "now", "code_version", "snapshot_hash", "plan", "verdict_counts", "snapshot")


class MongoDecisionStore:
    """`DecisionStore` over the collection `decisions`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._decisions, self._patience = database["decisions"], patience

    async def keep(self, decisions: Sequence[Decision]) -> None:
        writes = [UpdateOne({"_id": d.id}, {"$setOnInsert": _document(d)}, upsert=True) for d in decisions]
        if writes:
            await until_answered(lambda: self._decisions.bulk_write(writes, ordered=False), self._patience)

    async def newest(self, limit: int) -> list[Decision]:
        with answered():
            found = self._decisions.find({}, {"snapshot": 0}).sort([("at", -1), ("cycle", -1)]).limit(limit)
            return [_decision(d) for d in await found.to_list(limit)]

    async def get(self, decision_id: str) -> Decision | None:
        with answered():
            found = await self._decisions.find_one({"_id": decision_id})
        return None if found is None else _decision(found)


def _document(decision: Decision) -> Document:
    return {part: getattr(decision, part) for part in _PARTS}


def _decision(found: Mapping[str, Any]) -> Decision:
    parts = {part: found[part] for part in _PARTS if part != "snapshot"}
    snapshot = found.get("snapshot")
    return Decision(id=found["_id"], **parts, snapshot=None if snapshot is None else bytes(snapshot))
