"""Numbers of equal names: one counter a base name.

Claims that come together are one increment. A base that is claimed again within a second gets numbers ahead, each time
twice as many, so that one claim after the other does not wait for the store each time. A number may be skipped (one
ahead of a process that ends, or of an increment whose answer was lost), none is given twice; after a rollback of the
primary one might be, which a name may bear: so one acknowledgement is enough.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from pymongo import InsertOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.gatherer import Gatherer
from app.storage.group_commit import DUPLICATE
from app.storage.mongo import Collection, Database, Document

FLUSH = 1_000
BUSY_SECONDS, MOST_AHEAD = 1.0, 64
"""A base that is claimed again so soon is busy; most numbers that are claimed ahead for one."""
MOST_BASES = 1_000
"""Whose numbers ahead are remembered."""


class _Ahead:
    """The numbers of a base that this process has claimed and not yet given, the lowest first."""

    def __init__(self) -> None:
        self.numbers: Iterator[int] = iter(())
        self._more, self._at = 0, -math.inf

    def more(self) -> int:
        """How many to claim beyond those that are wanted: twice as many as the last time, when that was just now."""
        busy = time.monotonic() - self._at < BUSY_SECONDS
        return min(max(1, 2 * self._more), MOST_AHEAD) if busy else 0

    def put(self, numbers: range) -> None:
        """These were claimed beyond those that were wanted."""
        self.numbers, self._more, self._at = iter(numbers), len(numbers), time.monotonic()


def _claimed(more: int, token: str) -> list[Document]:
    """The update that gives out `more` numbers, and tells the first of them."""
    given = {"$ifNull": ["$n", 0]}
    claim = {"token": token, "first": {"$add": [given, 1]}}
    return [{"$set": {"n": {"$add": [given, more]}, "claim": claim}}]


class MongoNameRegister:
    """`NameRegister` over the collection `names`: {_id: base, n: numbers given}."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._names: Collection = database.raw["names"].with_options(
            write_concern=WriteConcern(w=1), read_concern=ReadConcern("local")
        )
        self._patience = patience
        self._claims = Gatherer[str, int](self._claim_all, FLUSH)
        self._ahead: dict[str, _Ahead] = {}

    async def claim(self, base: str) -> int:
        if (ahead := self._ahead.get(base)) is not None and (number := next(ahead.numbers, None)) is not None:
            return number
        return await self._claims.put(base)

    async def claim_many(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Names that are new are inserted, which costs least. A claim of others leaves its own token with the first
        number that it got, to be read back; where another claim came between, the name is claimed by itself."""
        first: dict[str, int] = {}
        pairs = sorted(wanted.items())
        for part in (pairs[start : start + FLUSH] for start in range(0, len(pairs), FLUSH)):
            known = await self._insert_new(part)
            first |= dict.fromkeys((base for base, _ in part if base not in known), 1)
            if known:
                first |= await self._raise_known([(base, more) for base, more in part if base in known])
        for base in wanted.keys() - first.keys():
            first[base] = await self._raise(base, wanted[base]) - wanted[base] + 1
        return first

    async def _insert_new(self, part: Sequence[tuple[str, int]]) -> set[str]:
        """Those that were there. A write that is sent again finds its own there, which then counts as a claim."""
        new = [InsertOne({"_id": base, "n": more}) for base, more in part]
        try:
            await until_answered(lambda: self._names.bulk_write(new, ordered=False), self._patience)
        except BulkWriteError as error:
            refused = (error.details or {})["writeErrors"]
            if any(each["code"] != DUPLICATE for each in refused):
                raise
            return {part[each["index"]][0] for each in refused}
        return set()

    async def _raise_known(self, part: Sequence[tuple[str, int]]) -> dict[str, int]:
        """The first numbers of those that nobody else claimed in the same moment."""
        token = os.urandom(8).hex()
        updates = [UpdateOne({"_id": base}, _claimed(more, token)) for base, more in part]
        await until_answered(lambda: self._names.bulk_write(updates, ordered=False), self._patience)
        mine = {"_id": {"$in": [base for base, _ in part]}, "claim.token": token}
        with answered():
            found = await self._names.find(mine).to_list(None)
        return {d["_id"]: int(d["claim"]["first"]) for d in found}

    async def _claim_all(self, bases: list[str]) -> list[int]:
        wanted = Counter(bases)
        claims = [self._claim(base, times) for base, times in wanted.items()]
        numbers = dict(zip(wanted, await asyncio.gather(*claims), strict=True))
        return [next(numbers[base]) for base in bases]

    async def _claim(self, base: str, wanted: int) -> Iterator[int]:
        """So many numbers: those that are left ahead, then new ones, of which some are put ahead."""
        ahead = self._ahead.pop(base, None) or _Ahead()
        left = list(islice(ahead.numbers, wanted))
        if wanted > len(left):
            more = ahead.more()
            new = wanted - len(left) + more
            last = await self._raise(base, new)
            left += range(last - new + 1, last - more + 1)
            ahead.put(range(last - more + 1, last + 1))
        self._ahead[base] = ahead
        if len(self._ahead) > MOST_BASES:
            del self._ahead[next(iter(self._ahead))]
        return iter(left)

    async def _raise(self, base: str, more: int) -> int:
        """Give out `more` numbers; the last of them."""

        async def increment() -> int:
            try:
                return await self._increment(base, more)
            except DuplicateKeyError:  # two first claims of one base met: it exists now
                return await self._increment(base, more)

        return await until_answered(increment, self._patience)

    async def _increment(self, base: str, more: int) -> int:
        after = await self._names.find_one_and_update(
            {"_id": base}, {"$inc": {"n": more}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return int((after or {})["n"])
