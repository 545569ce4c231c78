"""Places in named limits in MongoDB: one document for all, so that a job takes all its places in one guarded update.

    {_id: "places", held: {"main_orchestrator": {"job_…": "token"}}}

The guard counts who is there at the moment of the update, so no two processes let in one too many. A place that is
taken again gets the new token: what only found the old one cannot release it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne

from app.domain.ids import is_object_id
from app.domain.limits import Held, Place
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document

PLACES = "places"


class MongoLimitStore:
    """`LimitStore` over the collection `limits`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._limits, self._patience = database["limits"], patience

    async def take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        if not sizes:
            return True
        room = {"_id": PLACES, "$and": [_room(name, size, job_id) for name, size in sizes.items()]}
        update = {"$set": {_path(name, job_id): token for name in sizes}}
        if await self._update(room, update):
            return True
        await self._begin()
        return await self._update(room, update)

    async def hold(self, places: Sequence[Place], token: str) -> None:
        await self._begin()
        await self._each((_absent(place), {"$set": {_path(place.name, place.job_id): token}}) for place in places)

    async def release(self, places: Sequence[Place]) -> None:
        await self._each((_held(place), {"$unset": {_path(place.name, place.job_id): ""}}) for place in places)

    async def held(self) -> Held:
        with answered():
            found = await self._limits.find_one({"_id": PLACES})
        held = (found or {}).get("held")
        if not isinstance(held, dict):
            return {}
        read = {name: _holders(holders) for name, holders in held.items() if isinstance(holders, dict)}
        return {name: holders for name, holders in read.items() if holders}

    async def _begin(self) -> None:
        """Have the document be there."""
        first: Document = {"$setOnInsert": {"held": {}}}
        await until_answered(lambda: self._limits.update_one({"_id": PLACES}, first, upsert=True), self._patience)

    async def _update(self, wanted: Document, update: Document) -> bool:
        result = await until_answered(lambda: self._limits.update_one(wanted, update), self._patience)
        return bool(result.matched_count)

    async def _each(self, pairs: Any) -> None:
        updates = [UpdateOne(wanted, update) for wanted, update in pairs]
        if updates:
            await until_answered(lambda: self._limits.bulk_write(updates, ordered=False), self._patience)


def _path(name: str, job_id: str) -> str:
    """Neither can hold a dot: names by the setting, ids by `is_object_id`."""
    return f"held.{name}.{job_id}"


def _room(name: str, size: int, job_id: str) -> Document:
    """True where the job has a place already, or one is free."""
    holders = {"$objectToArray": {"$ifNull": [f"$held.{name}", {}]}}
    return {"$or": [{_path(name, job_id): {"$exists": True}}, {"$expr": {"$lt": [{"$size": holders}, size]}}]}


def _absent(place: Place) -> Document:
    return {"_id": PLACES, _path(place.name, place.job_id): {"$exists": False}}


def _held(place: Place) -> Document:
    token = {"$exists": True} if place.token is None else place.token
    return {"_id": PLACES, _path(place.name, place.job_id): token}


def _holders(found: Mapping[str, Any]) -> dict[str, str]:
    """Those that can be read: what is no text under no id is none of ours."""
    return {job: token for job, token in found.items() if is_object_id(job) and isinstance(token, str)}
