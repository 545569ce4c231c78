"""What batches and workflows have in common as documents: `finished_at` is set while they are over, null before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from app.storage.failures import answered
from app.storage.mongo import Collection


async def kept_ids(collection: Collection, ids: Iterable[str], since: datetime) -> set[str]:
    """Those of these that are not over, or not since before `since`."""
    wanted = {"_id": {"$in": list(ids)}, "$or": [{"finished_at": None}, {"finished_at": {"$gte": since}}]}
    with answered():
        return {d["_id"] for d in await collection.find(wanted, {"_id": 1}).to_list(None)}
