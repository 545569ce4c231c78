"""Whether the stores answer, asked of both at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.storage.mongo import Database
from app.storage.redis import call

OK = "ok"
PATIENCE = 3.0


class StoresHealth:
    """`Health` over MongoDB and Redis."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database, self._redis = database, redis

    async def check(self) -> dict[str, str]:
        """`{"mongodb": …, "redis": …}`: `ok`, or that it does not answer and with what error."""
        mongodb, redis = await asyncio.gather(_asked(self._database.command("ping")), _asked(call(self._redis.ping())))
        return {"mongodb": mongodb, "redis": redis}


async def _asked(question: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await question
    except TimeoutError:
        return f"no answer in {PATIENCE:g} s"
    except (PyMongoError, Unavailable, OSError) as error:
        return f"does not answer ({type(error.__cause__ or error).__name__})"
    return OK
