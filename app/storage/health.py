"""Whether the stores answer, asked of both at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.storage.mongo import Database

OK = "ok"
PATIENCE = 3.0


class StoresHealth:
    """`Health` over MongoDB and Redis."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database, self._redis = database, redis

    async def check(self) -> dict[str, str]:
        """`{"mongodb": …, "redis": …}`: `ok`, or that it does not answer and with what error."""
        mongodb, redis = await asyncio.gather(_asked(self._database.command("ping")), _asked(_ping(self._redis)))
        return {"mongodb": mongodb, "redis": redis}


async def _ping(redis: Redis) -> object:
    return await redis.execute_command("PING")  # type: ignore[no-untyped-call]


async def _asked(question: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await question
    except (PyMongoError, RedisError, OSError) as error:
        return f"does not answer ({type(error).__name__})"
    return OK
