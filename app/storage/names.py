"""Numbers of equal names: one counter a base name.

Claims that come together are one increment. A number may be skipped (an increment whose answer was lost), none is given
twice; after a rollback of the primary one might be, which a name may bear: so one acknowledgement is enough.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from app.storage.failures import PATIENCE, until_answered
from app.storage.gatherer import Gatherer
from app.storage.mongo import Collection, Database

FLUSH = 1_000


class MongoNameRegister:
    """`NameRegister` over the collection `names`: {_id: base, n: numbers given}."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._names: Collection = database.raw["names"].with_options(write_concern=WriteConcern(w=1))
        self._patience = patience
        self._claims = Gatherer[str, int](self._claim_all, FLUSH)

    async def claim(self, base: str) -> int:
        [number] = await self._claims.add([base])
        return number

    async def _claim_all(self, bases: list[str]) -> list[int]:
        wanted = Counter(bases)
        given = await asyncio.gather(*(self._raise(base, more) for base, more in wanted.items()))
        numbers = {base: count(last - wanted[base] + 1) for base, last in zip(wanted, given, strict=True)}
        return [next(numbers[base]) for base in bases]

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
