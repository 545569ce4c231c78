"""Leases in MongoDB, by MongoDB's own clock (`$$NOW`), so that the clocks of the holders do not matter.

    {_id: name, holder, epoch, until}

A lease is never deleted, so its epoch only grows, and a holder that was fenced can never renew under an old one. A call
that is sent again takes the lease again under a newer epoch, or renews it a moment later: both are harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain.ports import Lease
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document


class MongoLeaseStore:
    """`LeaseStore` over the collection `leases`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database, self._leases, self._patience = database, database["leases"], patience

    async def acquire(self, name: str, holder: str, term: timedelta) -> Lease | None:
        lease = await self._take(name, holder, term, unless=_held_by_another(holder))
        return lease if lease.holder == holder else None

    async def take_over(self, name: str, holder: str, term: timedelta) -> Lease:
        return await self._take(name, holder, term, unless=False)

    async def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        document = await self._update(_exactly(lease), [{"$set": {"until": _in(term)}}])
        return None if document is None else _lease_from(document)

    async def give_back(self, lease: Lease) -> None:
        await self._update(_exactly(lease), [{"$set": {"until": "$$NOW"}}])

    async def server_time(self) -> datetime:
        with answered():
            found: datetime = (await self._database.command("hello"))["localTime"]
        return found

    async def _take(self, name: str, holder: str, term: timedelta, unless: Any) -> Lease:
        """The lease afterwards: taken under a new epoch, or as it was where `unless` held."""

        def one(taken: Any, kept: str) -> Document:
            return {"$cond": [unless, kept, taken]}

        taken = {
            "holder": one({"$literal": holder}, "$holder"),
            "epoch": one({"$add": [{"$ifNull": ["$epoch", 0]}, 1]}, "$epoch"),
            "until": one(_in(term), "$until"),
        }
        try:
            document = await self._update({"_id": name}, [{"$set": taken}], upsert=True)
        except DuplicateKeyError:  # two upserts of one lease met: it exists now
            document = await self._update({"_id": name}, [{"$set": taken}])
        return _lease_from(document or {})

    async def _update(self, guard: Document, stages: list[Document], *, upsert: bool = False) -> Document | None:
        return await until_answered(
            lambda: self._leases.find_one_and_update(
                guard, stages, upsert=upsert, return_document=ReturnDocument.AFTER
            ),
            self._patience,
        )


def _held_by_another(holder: str) -> Document:
    lasts = {"$and": [{"$eq": [{"$type": "$until"}, "date"]}, {"$gt": ["$until", "$$NOW"]}]}
    return {"$and": [lasts, {"$ne": ["$holder", {"$literal": holder}]}]}


def _in(term: timedelta) -> Document:
    """The moment `term` from now, by the store's clock."""
    return {"$add": ["$$NOW", round(term.total_seconds() * 1000)]}


def _exactly(lease: Lease) -> Document:
    return {"_id": lease.name, "holder": lease.holder, "epoch": lease.epoch, "until": {"$type": "date"}}


def _lease_from(document: Mapping[str, Any]) -> Lease:
    return Lease(document["_id"], document["holder"], document["epoch"], document["until"])
