"""Group commit: the writes of many callers in one unordered bulk write, each with its own verdict.

Gathering is `Gatherer`'s: the first flush goes at once, whatever arrives while it is in flight goes with the next.
Here is what makes a flush safe:

- It holds at most one write a document; a second one for the same document goes after it, in the same order.
- A flush that is not answered is sent again, unchanged (`until_answered`). The guard of each write makes that harmless:
  a change finds its document only at the `seq` it was decided on, an insert finds its `_id` free only once.
- Only an answered flush is judged. When as many documents matched as were sent, all have won. Otherwise the documents
  are read again, and a change has won when its `op` is in the history, whichever of the sendings brought it there.
- A write that cannot be stored (not encodable, too large) fails alone: the flush that it spoils is halved until it is
  by itself, and the guards again make the repeated sending harmless.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from app.domain.errors import Invalid
from app.domain.transitions import Change
from app.storage.documents import change_update
from app.storage.failures import PATIENCE, answered, not_storable, unstorable, until_answered
from app.storage.gatherer import Gatherer
from app.storage.mongo import Collection, Document

T = TypeVar("T")
FLUSH = 1_000
"""Most writes in one flush."""
DUPLICATE = 11_000

Verdict = bool | Invalid
"""Won or lost; or why the write could not be stored."""
Send = Callable[[list[T]], Coroutine[Any, Any, list[Verdict]]]
SubjectsOf = Callable[[Sequence[Change]], Awaitable[Sequence[Mapping[str, Any]]]]


class GroupedInserts:
    """Inserts into one collection."""

    def __init__(self, collection: Collection, patience: float = PATIENCE) -> None:
        self._collection, self._patience = collection, patience
        self._gatherer = Gatherer[Document, Verdict](in_rounds(self._send, lambda d: d["_id"]), FLUSH)

    async def insert(self, documents: Sequence[Document]) -> list[bool]:
        """Durable when it returns: True for each that is stored now; False where its `_id`, or another key that is
        unique, was there, as it is when it was stored by a sending before. Raises Unavailable, and Invalid for what
        cannot be stored."""
        verdicts = await self._gatherer.add(documents)
        for verdict in verdicts:
            if isinstance(verdict, Invalid):
                raise verdict
        return [verdict is True for verdict in verdicts]

    async def _send(self, documents: list[Document]) -> list[Verdict]:
        requests = [InsertOne(d) for d in documents]
        _, refused = await _write(self._collection, requests, self._patience)
        return [refused.get(n, True) for n in range(len(documents))]


class GroupCommit:
    """Changes of documents that carry `seq` and `history`. `subjects_of` tells what `last` says beside the entry."""

    def __init__(self, collection: Collection, subjects_of: SubjectsOf, patience: float = PATIENCE) -> None:
        self._collection, self._subjects_of, self._patience = collection, subjects_of, patience
        self._gatherer = Gatherer[Change, Verdict](in_rounds(self._send, lambda c: c.job_id), FLUSH)

    async def commit(self, changes: Sequence[Change]) -> list[Verdict]:
        """The verdict on each, in order. Raises Unavailable."""
        return await self._gatherer.add(changes)

    def _guard(self, change: Change) -> Document:
        return {"_id": change.job_id, "seq": change.seq}

    async def _send(self, changes: list[Change]) -> list[Verdict]:
        subjects = await self._subjects_of(changes)
        requests = [UpdateOne(self._guard(c), change_update(c, s)) for c, s in zip(changes, subjects, strict=True)]
        matched, refused = await _write(self._collection, requests, self._patience)
        if matched == len(changes):
            return [True] * len(changes)
        held = await self._held(changes)
        return [refused.get(n, change.entry.op in held) for n, change in enumerate(changes)]

    async def _held(self, changes: Sequence[Change]) -> set[str]:
        """The ops of these changes that are in a history now, and some others."""
        wanted = {"_id": {"$in": [c.job_id for c in changes]}, "history.op": {"$in": [c.entry.op for c in changes]}}
        with answered():
            found = await self._collection.find(wanted, {"history.op": 1}).to_list(None)
        return {entry.get("op") for document in found for entry in document["history"]}


def in_rounds(send: Send[T], key: Callable[[T], Hashable]) -> Send[T]:
    """`send`, called with at most one item a key: those of one key go one after the other, in their order."""

    async def send_rounds(items: list[T]) -> list[Verdict]:
        verdicts: dict[int, Verdict] = {}
        left = list(range(len(items)))
        while left:
            first = {key(items[n]): n for n in reversed(left)}
            now = sorted(first.values())
            verdicts.update(zip(now, await send([items[n] for n in now]), strict=True))
            left = [n for n in left if n not in verdicts]
        return [verdicts[n] for n in range(len(items))]

    return send_rounds


async def _write(collection: Collection, requests: list[Any], patience: float) -> tuple[int, dict[int, Verdict]]:
    """Send until answered. How many documents were matched or inserted, and the refused requests by index."""
    try:
        result = await until_answered(lambda: collection.bulk_write(requests, ordered=False), patience)
    except BulkWriteError as error:
        details = error.details or {}
        refusals: dict[int, Verdict] = {
            e["index"]: e["code"] != DUPLICATE and not_storable(e["errmsg"]) for e in details["writeErrors"]
        }
        return details["nMatched"] + details["nInserted"], refusals
    except Exception as error:
        if not unstorable(error):
            raise
        if len(requests) == 1:
            return 0, {0: not_storable(error)}
    else:
        return result.matched_count + result.inserted_count, {}
    half = len(requests) // 2
    matched, refused = await _write(collection, requests[:half], patience)
    others, also_refused = await _write(collection, requests[half:], patience)
    return matched + others, refused | {n + half: why for n, why in also_refused.items()}
