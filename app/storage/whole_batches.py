"""Which batches are whole. A batch is made in two steps, its record and then its jobs; between them none of its jobs is
shown to anybody, so that no reader ever sees a part of a batch.

Once whole, a batch stays so: what was found is remembered, and a job costs no look-up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from app.storage.failures import answered
from app.storage.mongo import Collection

REMEMBERED = 20_000


class WholeBatches:
    """Over the collection `batches`."""

    def __init__(self, batches: Collection, limit: int = REMEMBERED) -> None:
        self._batches, self._limit = batches, limit
        self._known: OrderedDict[str, None] = OrderedDict()

    async def shown(self, documents: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of these jobs that are of no batch, or of a whole one. One whose record is gone was whole."""
        found = list(documents)
        ids = {d["batch_id"] for d in found if isinstance(d.get("batch_id"), str)}
        unknown = sorted(ids - self._known.keys())
        if not unknown:
            return found
        with answered():
            parts = await self._batches.find({"_id": {"$in": unknown}, "laid_out": False}, {"_id": 1}).to_list(None)
        hidden = {d["_id"] for d in parts}
        self._remember(i for i in unknown if i not in hidden)
        return [d for d in found if d.get("batch_id") not in hidden] if hidden else found

    def _remember(self, batch_ids: Iterable[str]) -> None:
        for batch_id in batch_ids:
            self._known[batch_id] = None
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
