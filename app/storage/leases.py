"""Leases in MongoDB, by MongoDB's own clock (`$$NOW`), so that the clocks of the holders do not matter.

    {_id: name, holder, epoch, until}

A lease is never deleted, so its epoch only grows, and a holder that was fenced can never renew under an old one. A call
that is sent again takes the lease again under a newer epoch, or renews it a moment later: both are harmless. A fence
compares and ends in one update, so that between the look and the deed there is no moment in which a renewal could win.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain.ports import Lease, StorePrimary
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading
from app.storage.shapes import check_lease

FENCED = "(fenced)"
"""The holder of a lease whose last epoch was ended by a fence."""
_LAPSED = {"until": {"$type": "date"}, "$expr": {"$lt": ["$until", "$$NOW"]}}
_FENCE: list[Document] = [{"$set": {"epoch": {"$add": ["$epoch", 1]}, "holder": {"$literal": FENCED}}}]


class MongoLeaseStore:
    """`LeaseStore` over the collection `leases`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("lease", quarantine)
        self._database, self._leases, self._patience = database, database["leases"], patience

    async def acquire(self, name: str, holder: str, term: timedelta) -> Lease | None:
        lease = await self._take(name, holder, term)
        return lease if lease.holder == holder else None

    async def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        document = await self._update(_exactly(lease), [{"$set": {"until": _in(term)}}])
        return None if document is None else _lease_from(document)

    async def give_back(self, lease: Lease) -> None:
        await self._update(_exactly(lease), [{"$set": {"until": "$$NOW"}}])

    async def lapsed(self) -> list[Lease]:
        with answered():
            found = await self._leases.find(_LAPSED).sort([("_id", 1)]).to_list(None)
        return await self._reading.each(found, _lease_from)

    async def fence(self, name: str, epoch: int) -> bool:
        if await self._update({"_id": name, "epoch": epoch, **_LAPSED}, _FENCE) is not None:
            return True
        with answered():
            known = await self._leases.find_one({"_id": name}, {"epoch": 1})
        return known is None or known["epoch"] > epoch

    async def primary(self) -> StorePrimary:
        hello = await self._hello()
        election = f"{hello.get('setVersion', '')}/{hello.get('electionId', '')}"
        return StorePrimary(hello.get("primary") or hello.get("me") or "", election)

    async def server_time(self) -> datetime:
        found: datetime = (await self._hello())["localTime"]
        return found

    async def _hello(self) -> Document:
        with answered():
            return await self._database.command("hello")

    async def _take(self, name: str, holder: str, term: timedelta) -> Lease:
        """The lease afterwards: taken under a new epoch, or as it was where another holds it."""
        held = _held_by_another(holder)

        def one(taken: Any, kept: str) -> Document:
            return {"$cond": [held, kept, taken]}

        taken = {
            "holder": one({"$literal": holder}, "$holder"),
            "epoch": one({"$add": [{"$cond": [{"$isNumber": "$epoch"}, "$epoch", 0]}, 1]}, "$epoch"),
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
    check_lease(document)
    return Lease(document["_id"], document["holder"], document["epoch"], document["until"])
