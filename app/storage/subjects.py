"""What is known of the jobs that this process works on, so that a change can say whose it is without a look-up.

A change names a job and the `seq` it was decided on: the version that was loaded here a moment ago. Its subject is
remembered together with that `seq`, so that a remembered subject is never that of another version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.transitions import Change
from app.storage.documents import SUBJECT
from app.storage.failures import answered
from app.storage.mongo import Collection

REMEMBERED = 20_000


class Subjects:
    """The newest subjects by job, the least recently used forgotten first."""

    def __init__(self, collection: Collection, limit: int = REMEMBERED) -> None:
        self._collection, self._limit = collection, limit
        self._known: OrderedDict[str, tuple[int, Mapping[str, Any]]] = OrderedDict()

    def remember(self, document: Mapping[str, Any]) -> None:
        """Take note of a document that was read or written."""
        self._keep(document["_id"], document.get("seq", 0), {name: document.get(name) for name in SUBJECT})

    async def of(self, changes: Sequence[Change]) -> list[Mapping[str, Any]]:
        """One for each change; those that are not known are read."""
        unknown = [c.job_id for c in changes if self._known.get(c.job_id, (0,))[0] != c.seq]
        if unknown:
            wanted = {"seq": 1} | dict.fromkeys(SUBJECT, 1)
            with answered():
                for document in await self._collection.find({"_id": {"$in": unknown}}, wanted).to_list(None):
                    self.remember(document)
        return [self._known[c.job_id][1] if c.job_id in self._known else {} for c in changes]

    def _keep(self, job_id: str, seq: int, subject: Mapping[str, Any]) -> None:
        self._known[job_id] = seq, subject
        self._known.move_to_end(job_id)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
