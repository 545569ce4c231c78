"""Secrets in MongoDB, in a collection that nothing else reads: it may be given rights of its own.

    {_id: the `sealed` of a job, a workflow or a schedule, job_id: its owner, values: {name: text}, at}

A document is written before its owner names it, and never changed. What is not named any more, retention finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from app.domain.errors import Invalid
from app.domain.secrets import Sealed
from app.storage.failures import PATIENCE, answered, unstorable, until_answered
from app.storage.mongo import Database, Document


class MongoSecretStore:
    """`SecretStore` over the collection `secrets`."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._secrets, self._patience = database["secrets"], patience

    async def put(self, sealed: Sealed) -> None:
        """Sent again after a lost answer it meets itself: an id is sealed once. What is too large raises Invalid, which
        tells nothing of it."""
        document: Document = {"_id": sealed.id, "job_id": sealed.owner, "values": dict(sealed.values), "at": sealed.at}
        try:
            await until_answered(lambda: self._secrets.insert_one(document), self._patience)
        except DuplicateKeyError:
            return
        except Exception as error:
            if unstorable(error):
                message = "these secrets are too large to be stored together; make them smaller"
                raise Invalid.one("", message, code="not_storable") from None
            raise

    async def get(self, sealed_id: str) -> Mapping[str, str] | None:
        with answered():
            found = await self._secrets.find_one({"_id": sealed_id}, {"values": 1})
        return None if found is None else dict(found["values"])

    async def delete(self, sealed_ids: Iterable[str]) -> None:
        await self._delete({"_id": {"$in": list(sealed_ids)}})

    async def delete_of(self, owners: Sequence[str]) -> None:
        await self._delete({"job_id": {"$in": list(owners)}})

    async def _delete(self, wanted: Document) -> None:
        await until_answered(lambda: self._secrets.delete_many(wanted), self._patience)

    async def older(self, before: datetime, after: str, limit: int) -> list[tuple[str, str]]:
        wanted = {"_id": {"$gt": after}, "at": {"$lt": before}}
        with answered():
            found = await self._secrets.find(wanted, {"job_id": 1}).sort([("_id", 1)]).limit(limit).to_list(None)
        return [(d["_id"], d["job_id"]) for d in found]
