"""The collection `quarantine`: what could not be read, for a person to find.

    {_id: "{kind}:{id}", kind, id, why, first_seen, copy}

`copy` is the document as extended JSON, at most 16 KiB of it. An entry is written once, and goes by its age; a person
who has mended the document may delete it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from bson import json_util
from pymongo import UpdateOne

from app.quarantine import Quarantine, Unreadable, reason
from app.storage.failures import PATIENCE, until_answered
from app.storage.mongo import Database, Document

T = TypeVar("T")
COPY_BYTES = 16 << 10


class QuarantineStore:
    """What `app.quarantine.Quarantine` is kept in."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._entries, self._patience = database["quarantine"], patience

    async def keep(self, met: Sequence[Unreadable]) -> None:
        """Store each that is not there. Raises Unavailable."""
        writes = [UpdateOne({"_id": f"{each.kind}:{each.id}"}, _entry(each), upsert=True) for each in met]
        await until_answered(lambda: self._entries.bulk_write(writes, ordered=False), self._patience)


def _entry(each: Unreadable) -> list[Document]:
    texts = {"kind": each.kind, "id": each.id, "why": each.why, "copy": _copy(each.document)}
    fields: Document = {name: {"$ifNull": [f"${name}", {"$literal": text}]} for name, text in texts.items()}
    return [{"$set": {**fields, "first_seen": {"$ifNull": ["$first_seen", "$$NOW"]}}}]


def _copy(document: Any) -> str:
    try:
        text = json_util.dumps(document)
    except (TypeError, ValueError, OverflowError, RecursionError):
        text = repr(document)
    return text.encode(errors="replace")[:COPY_BYTES].decode(errors="ignore")


class Reading:
    """Reads documents of one kind, so that those that cannot be read hide no others."""

    def __init__(self, kind: str, quarantine: Quarantine | None) -> None:
        self._kind = kind
        self._quarantine = quarantine or Quarantine()

    async def each(self, documents: Iterable[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """What `read` makes of those that it can read."""
        found: list[T] = []
        bad: list[Unreadable] = []
        for document in documents:
            try:
                found.append(read(document))
            except Exception as error:  # noqa: BLE001  whatever is wrong with one document
                bad.append(Unreadable(self._kind, str(document.get("_id"))[:200], reason(error), document))
        if bad:
            await self._quarantine.hold(bad)
        return found
