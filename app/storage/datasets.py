"""Registered data sets in MongoDB: a name for a file below the data root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.records import Dataset
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading


def _document(dataset: Dataset) -> Document:
    return {
        "_id": dataset.name,
        "path": dataset.path,
        "description": dataset.description,
        "target_column": dataset.target_column,
        "registered_at": dataset.registered_at,
        "facts": dict(dataset.facts),
    }


def _dataset(d: Mapping[str, Any]) -> Dataset:
    return Dataset(d["_id"], d["path"], d["description"], d["target_column"], d["registered_at"], d["facts"])


class MongoDatasetStore:
    """`DatasetStore` over the collection `datasets`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("dataset", quarantine)
        self._datasets, self._patience = database["datasets"], patience

    async def get(self, name: str) -> Dataset | None:
        with answered():
            found = await self._datasets.find_one({"_id": name})
        return next(iter(await self._reading.each([found] if found else [], _dataset)), None)

    async def all(self) -> list[Dataset]:
        """By name."""
        with answered():
            found = await self._datasets.find({}).sort([("_id", 1)]).to_list(None)
        return await self._reading.each(found, _dataset)

    async def insert(self, dataset: Dataset) -> bool:
        """See the port. Sent again after a lost answer it meets itself, which counts as inserted."""
        document = _document(dataset)
        try:
            await until_answered(lambda: self._datasets.insert_one(document), self._patience)
        except DuplicateKeyError:
            return await self.get(dataset.name) == dataset
        return True

    async def delete(self, name: str) -> bool:
        """Whether it was there. After a lost answer that is not known, and it is told as absent."""
        result = await until_answered(lambda: self._datasets.delete_one({"_id": name}), self._patience)
        return bool(result.deleted_count)
