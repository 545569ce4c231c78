"""The scheduler's state in MongoDB: three documents of the collection `scheduler`.

`state` and `calibration` are the leader's, and a former leader cannot write over them: a write names its term. `pause`
is people's. A state that cannot be read is given up: credit begins anew, and promises are made anew.
"""

from __future__ import annotations

import structlog

from app.domain.calibration import Calibration
from app.domain.fairness import Usage
from app.domain.promises import Promise
from app.domain.scheduler_state import QueuePause, SchedulerState
from app.storage.failures import answered
from app.storage.mongo import Database, Document

log = structlog.get_logger()
STATE, PAUSE, CALIBRATION = "state", "pause", "calibration"


class MongoSchedulerStore:
    """`SchedulerStore` over the collection `scheduler`."""

    def __init__(self, database: Database) -> None:
        self._collection = database["scheduler"]

    async def state(self) -> SchedulerState:
        with answered():
            found = await self._collection.find_one({"_id": STATE})
        try:
            return SchedulerState() if found is None else _state_from(found)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("scheduler_state.unreadable", error=repr(error))
            return SchedulerState()

    async def keep(self, state: SchedulerState, term: int) -> bool:
        return await self._keep(STATE, _state_document(state), term)

    async def _keep(self, name: str, document: Document, term: int) -> bool:
        with answered():
            await self._collection.update_one({"_id": name}, {"$setOnInsert": {"term": term}}, upsert=True)
            newer = {"_id": name, "term": {"$lte": term}}
            kept = await self._collection.update_one(newer, {"$set": document | {"term": term}})
        return bool(kept.matched_count)

    async def calibration(self) -> Calibration:
        with answered():
            found = await self._collection.find_one({"_id": CALIBRATION})
        try:
            return Calibration() if found is None else Calibration.from_parts(found)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("calibration.unreadable", error=repr(error))
            return Calibration()

    async def keep_calibration(self, calibration: Calibration, term: int) -> bool:
        return await self._keep(CALIBRATION, calibration.parts(), term)

    async def pause(self) -> QueuePause | None:
        with answered():
            found = await self._collection.find_one({"_id": PAUSE})
        return None if found is None else QueuePause(found["actor"], found["reason"], found["at"])

    async def set_pause(self, pause: QueuePause | None) -> QueuePause | None:
        with answered():
            if pause is None:
                await self._collection.delete_one({"_id": PAUSE})
                return None
            document = {"actor": pause.actor, "reason": pause.reason, "at": pause.at}
            found = await self._collection.find_one_and_update(
                {"_id": PAUSE}, {"$setOnInsert": document}, upsert=True, return_document=True
            )
        return pause if found is None else QueuePause(found["actor"], found["reason"], found["at"])


def _state_document(state: SchedulerState) -> Document:
    return {
        "credit": state.credit,
        "promises": [promise.parts() for promise in state.promises],
        "preempted": list(state.preempted),
        "usage": [[tenant, list(usage.held), usage.at] for tenant, usage in sorted(state.usage.items())],
    }


def _state_from(found: Document) -> SchedulerState:
    usage = {}
    for tenant, held, at in found["usage"]:
        cpu, memory, gpu, storage = map(float, held)
        usage[str(tenant)] = Usage((cpu, memory, gpu, storage), int(at))
    promises = tuple(Promise.from_parts(parts) for parts in found["promises"])
    return SchedulerState(int(found["credit"]), promises, usage, tuple(map(int, found["preempted"])))
