"""Several writes as one: for what no single document can hold, and nothing else.

A process that is killed between its first write and its commit leaves the transaction open on the server, which ends it
only after a minute; until then whatever it wrote is locked for others. So whoever meets a conflict looks for
transactions of ours that have done nothing for a while, and ends them: a live process never pauses so long between two
statements, and one that did finds its transaction gone and begins again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from pymongo.errors import PyMongoError

from app.storage.failures import PATIENCE, until_answered
from app.storage.mongo import APP_NAME, Database, Document

log = structlog.get_logger()
T = TypeVar("T")
ABANDONED = 3.0
"""Seconds without a statement after which an open transaction counts as left behind."""


async def in_transaction(database: Database, work: Callable[[Any], Awaitable[T]], patience: float = PATIENCE) -> T:
    """What `work` answers for the session that it is given, once all that it wrote is durable, or nothing of it.

    It is run again after a conflict or an answer that was lost, so that it may find its own writes there. Raises
    `Unavailable` after `patience` seconds, and what `work` raises.
    """
    again = False

    async def once() -> T:
        nonlocal again
        if again:
            await end_abandoned(database)
        again = True
        async with database.transaction() as session:
            return await work(session)

    return await until_answered(once, patience)


async def end_abandoned(database: Database, idle: float = ABANDONED) -> int:
    """End transactions of this service that have done nothing for so many seconds. Answers how many there were; where
    the server does not let us look, none."""
    left: Document = {
        "type": "idleSession",
        "appName": APP_NAME,
        "transaction.timeInactiveMicros": {"$gt": round(idle * 1e6)},
    }
    pipeline = [{"$currentOp": {"idleSessions": True}}, {"$match": left}, {"$project": {"lsid": 1}}]
    try:
        found = (await database.admin("aggregate", pipeline=pipeline, cursor={}))["cursor"]["firstBatch"]
        sessions = [{"id": each["lsid"]["id"]} for each in found]
        if sessions:
            log.warning("transactions.abandoned", ended=len(sessions))
            await database.admin("killSessions", sessions)
    except PyMongoError as error:
        log.warning("transactions.not_looked_at", error=str(error)[:200])
        return 0
    return len(sessions)
