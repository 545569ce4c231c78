"""What the autoscaler hands on, in MongoDB: one document of the collection `scheduler`, the leader's alone.

    {_id: "capacity", term, state: {…}, plan: {…}}

A former leader cannot write over it: a leader that begins names its term in it, and a write names its own. State and
plan are plain values of nested dataclasses, so pydantic writes and checks them. What cannot be read is given up: the
history begins anew, and nodes that boot are found when they come.
"""

from __future__ import annotations

import structlog
from pydantic import TypeAdapter, ValidationError

from app.domain.capacity.report import CapacityPlan
from app.domain.capacity.state import CapacityState
from app.storage.failures import answered
from app.storage.mongo import Database, Document

log = structlog.get_logger()
CAPACITY = "capacity"
STATE: TypeAdapter[CapacityState] = TypeAdapter(CapacityState)
PLAN: TypeAdapter[CapacityPlan] = TypeAdapter(CapacityPlan)


class MongoCapacityStore:
    """`CapacityStore` over the collection `scheduler`."""

    def __init__(self, database: Database) -> None:
        self._collection = database["scheduler"]

    async def begin(self, term: int) -> CapacityState | None:
        earlier = {"_id": CAPACITY, "term": {"$lte": term}}
        with answered():
            await self._collection.update_one({"_id": CAPACITY}, {"$setOnInsert": {"term": term}}, upsert=True)
            found = await self._collection.find_one_and_update(earlier, {"$set": {"term": term}}, return_document=True)
        if found is None:
            return None
        try:
            return STATE.validate_python(found.get("state") or {})
        except ValidationError as error:
            log.warning("capacity_state.unreadable", errors=error.error_count())
            return CapacityState()

    async def keep(self, state: CapacityState, plan: CapacityPlan | None, term: int) -> bool:
        changed: Document = {"state": STATE.dump_python(state, mode="json")}
        if plan is not None:
            changed["plan"] = PLAN.dump_python(plan, mode="json")
        with answered():
            newer = {"_id": CAPACITY, "term": {"$lte": term}}
            kept = await self._collection.update_one(newer, {"$set": changed | {"term": term}})
        return bool(kept.matched_count)

    async def plan(self) -> CapacityPlan | None:
        with answered():
            found = await self._collection.find_one({"_id": CAPACITY}, {"plan": 1})
        plan = (found or {}).get("plan")
        try:
            return None if plan is None else PLAN.validate_python(plan)
        except ValidationError as error:
            log.warning("capacity_plan.unreadable", errors=error.error_count())
            return None
