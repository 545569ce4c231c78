"""Registered data sets in memory."""

from __future__ import annotations

from app.domain.records import Dataset


class MemoryDatasetStore:
    """`DatasetStore`."""

    def __init__(self) -> None:
        self._stored: dict[str, Dataset] = {}

    async def get(self, name: str) -> Dataset | None:
        return self._stored.get(name)

    async def all(self) -> list[Dataset]:
        return [self._stored[name] for name in sorted(self._stored)]

    async def insert(self, dataset: Dataset) -> bool:
        return self._stored.setdefault(dataset.name, dataset) == dataset

    async def delete(self, name: str) -> bool:
        return self._stored.pop(name, None) is not None
