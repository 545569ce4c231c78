"""Places in limits in MongoDB: one document for all named ones, so that a job takes all its places in them in one
guarded update; and one for each batch, since batches are many and their jobs come and go often.

    {_id: "places", held: {"main_orchestrator": {"job_…": "token"}}}
    {_id: "batch:batch_…", held: {"batch:batch_…": {"job_…": "token"}}}

The guard counts who is there at the moment of the update, so no two processes let in one too many. A place that is
taken again gets the new token: what only found the old one cannot release it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pymongo import DeleteOne, UpdateOne

from app.domain.ids import is_object_id
from app.domain.limits import Held, Place, batch_limit, batch_of
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document

PLACES = "places"


class MongoLimitStore:
    """`LimitStore` over the collection `limits`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._limits, self._patience = database["limits"], patience

    async def take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        for document, part in _by_document(sizes):
            if not await self._take(document, job_id, part, token):
                return False
        return True

    async def _take(self, document: str, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        room = {"_id": document, "$and": [_room(name, size, job_id) for name, size in sizes.items()]}
        update = {"$set": {_path(name, job_id): token for name in sizes}}
        if await self._update(room, update):
            return True
        await self._begin(document)
        return await self._update(room, update)

    async def hold(self, places: Sequence[Place], token: str) -> None:
        for document in sorted({_document_of(place.name) for place in places}):
            await self._begin(document)
        await self._each((_absent(place), {"$set": {_path(place.name, place.job_id): token}}) for place in places)

    async def release(self, places: Sequence[Place]) -> None:
        await self._each((_held(place), {"$unset": {_path(place.name, place.job_id): ""}}) for place in places)

    async def held(self, names: Collection[str] | None = None) -> Held:
        wanted = {} if names is None else {"_id": {"$in": sorted({_document_of(name) for name in names})}}
        with answered():
            found = await self._limits.find(wanted).to_list(None)
        held = [document["held"] for document in found if isinstance(document.get("held"), dict)]
        read = {n: _holders(holders) for each in held for n, holders in each.items() if isinstance(holders, dict)}
        return {name: holders for name, holders in read.items() if holders}

    async def forget_empty(self) -> None:
        with answered():
            found = await self._limits.find({"_id": {"$ne": PLACES}}, {"_id": 1}).to_list(None)
        empty = [DeleteOne({"_id": d["_id"], f"held.{d['_id']}": {}}) for d in found if batch_of(str(d["_id"]))]
        if empty:
            await until_answered(lambda: self._limits.bulk_write(empty, ordered=False), self._patience)

    async def _begin(self, document: str) -> None:
        """Have the document be there."""
        first: Document = {"$setOnInsert": {"held": {}}}
        await until_answered(lambda: self._limits.update_one({"_id": document}, first, upsert=True), self._patience)

    async def _update(self, wanted: Document, update: Document) -> bool:
        result = await until_answered(lambda: self._limits.update_one(wanted, update), self._patience)
        return bool(result.matched_count)

    async def _each(self, pairs: Any) -> None:
        updates = [UpdateOne(wanted, update) for wanted, update in pairs]
        if updates:
            await until_answered(lambda: self._limits.bulk_write(updates, ordered=False), self._patience)


def place_document(batch_id: str, job_ids: Iterable[str], token: str) -> Document:
    """The document of a new batch whose first jobs have their places."""
    name = batch_limit(batch_id)
    return {"_id": name, "held": {name: dict.fromkeys(job_ids, token)}}


def _document_of(name: str) -> str:
    return PLACES if batch_of(name) is None else name


def _by_document(sizes: Mapping[str, int]) -> list[tuple[str, Mapping[str, int]]]:
    """What is to be taken in each document: those of batches first, in order."""
    documents = dict.fromkeys(_document_of(name) for name in sizes)
    parts = {d: {name: size for name, size in sizes.items() if _document_of(name) == d} for d in documents}
    return sorted(parts.items(), key=lambda part: part[0] == PLACES)


def _path(name: str, job_id: str) -> str:
    """Neither can hold a dot: names by the setting or by the id of a batch, ids by `is_object_id`."""
    return f"held.{name}.{job_id}"


def _room(name: str, size: int, job_id: str) -> Document:
    """True where the job has a place already, or one is free."""
    holders = {"$objectToArray": {"$ifNull": [f"$held.{name}", {}]}}
    return {"$or": [{_path(name, job_id): {"$exists": True}}, {"$expr": {"$lt": [{"$size": holders}, size]}}]}


def _absent(place: Place) -> Document:
    return {"_id": _document_of(place.name), _path(place.name, place.job_id): {"$exists": False}}


def _held(place: Place) -> Document:
    token = {"$exists": True} if place.token is None else place.token
    return {"_id": _document_of(place.name), _path(place.name, place.job_id): token}


def _holders(found: Mapping[str, Any]) -> dict[str, str]:
    """Those that can be read: what is no text under no id is none of ours."""
    return {job: token for job, token in found.items() if is_object_id(job) and isinstance(token, str)}
