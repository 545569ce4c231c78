"""What a failure of MongoDB means: was the write refused, or just not answered?

An *unanswered* write may have been applied or not: the connection broke, the primary stepped down, the majority did not
confirm in time. It is no failure yet. The same write is sent again, unchanged, until it is answered or patience ends;
only a write that is idempotent under its guard may be sent through here. Reads that were not answered raise
`Unavailable` at once: the driver has already tried twice and waited for a server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from app.domain.errors import Invalid, Unavailable

log = structlog.get_logger()
T = TypeVar("T")

PATIENCE = 15.0
"""Seconds in which a write is sent again: longer than an election, shorter than a client's own time limit."""
FIRST_DELAY, LONGEST_DELAY = 0.05, 1.0

_AWAY_CODES = frozenset({
    6, 7, 64, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436,
})  # fmt: skip
"""Host away, network timeout, write concern not met in time, shutdown, stepdown, not primary, recovering."""
_AWAY_LABELS = ("RetryableWriteError", "TransientTransactionError", "UnknownTransactionCommitResult")

UNSTORABLE: tuple[type[Exception], ...] = (BSONError, OverflowError, UnicodeError)
"""What the drivers raise for a document that they cannot encode, or that is too large to be sent."""
_UNSTORABLE_CODES = frozenset({9, 15, 22, 10334})
"""What the server answers to a message that it cannot read: unparsable, nested too deep, invalid, too large."""


def unstorable(error: BaseException) -> bool:
    """Whether what was sent can never be stored, however often it is sent."""
    if isinstance(error, OperationFailure):
        return error.code in _UNSTORABLE_CODES
    return isinstance(error, UNSTORABLE)


def not_storable(why: object) -> Invalid:
    """The error for a caller whose document cannot be stored."""
    return Invalid.one("", f"this cannot be stored: {str(why)[:300]}; make it smaller or plainer", code="not_storable")


def unanswered(error: BaseException) -> bool:
    """Whether the call may have been applied or not, so that only sending it again can tell."""
    if isinstance(error, ConnectionFailure | ExecutionTimeout | WTimeoutError):
        return True
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        stopped = any(e["code"] in _AWAY_CODES for e in details.get("writeErrors", ()))
        return stopped or bool(details.get("writeConcernErrors")) or _labelled(error)
    return isinstance(error, OperationFailure) and (error.code in _AWAY_CODES or _labelled(error))


def _labelled(error: PyMongoError) -> bool:
    return any(error.has_error_label(label) for label in _AWAY_LABELS)


@contextmanager
def answered() -> Iterator[None]:
    """Raises `Unavailable` where a call inside was not answered."""
    try:
        yield
    except PyMongoError as error:
        if unanswered(error):
            raise Unavailable("MongoDB") from error
        raise


async def until_answered(send: Callable[[], Awaitable[T]], patience: float = PATIENCE) -> T:
    """Send the same write until it is answered. Raises `Unavailable` after `patience` seconds without an answer."""
    deadline = time.monotonic() + patience
    delay = FIRST_DELAY
    while True:
        try:
            return await send()
        except PyMongoError as error:
            if not unanswered(error):
                raise
            if time.monotonic() + delay >= deadline:
                raise Unavailable("MongoDB") from error
            log.warning("mongodb.unanswered", store="MongoDB", error=type(error).__name__, again_in=delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, LONGEST_DELAY)
