"""arq as the doorbell of nodes: it carries assignments and nothing depends on it.

Each node has a queue of its own. A message has a random id (a fixed one would make "ring again" a silent no-op) and is
forgotten after a minute: a SCHEDULED job that has not started by then is rung again from the store. Messages are JSON
of one exact shape, checked where bytes are read, so that a forged one is counted and dropped before anything sees it;
pickle, arq's default in three places, is never written or read.

A node runs arq's worker in burst mode whenever its bell rings, and at each beat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import structlog
from arq import Worker, func
from arq.connections import ArqRedis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeout

from app.domain.dispatch import Assignment, decode_message, encode_message
from app.domain.errors import Invalid, Unavailable
from app.domain.ports import Bells, node_bell
from app.storage.lua import answer
from app.storage.redis import call

log = structlog.get_logger()

FUNCTION = "assignments"
MESSAGE_SECONDS = 60
QUEUE_SECONDS = 300
"""A queue into which nobody dispatched for so long goes away as a whole: its node is gone, its messages are too old."""
HANDLING_SECONDS = 30
POLL_SECONDS = 0.005
UNLIMITED = -1
DRAIN_SECONDS = 2.0
"""Longest time in one drain: a message that another worker has begun stays in the queue, and must not hold us."""

_REFUSED = "refused_messages"

OnAssignments = Callable[[list[Assignment]], Awaitable[None]]


class _Refusals:
    """How many messages a worker refused."""

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        self.value += 1


def arq_pool(redis: Redis, namespace: str) -> ArqRedis:
    """arq on the connections of `redis`, with JSON both ways."""
    return ArqRedis(
        redis.connection_pool,
        job_serializer=_write,
        job_deserializer=orjson.loads,
        default_queue_name=f"{namespace}:arq",
    )


class ArqDispatcher:
    """`Dispatcher` over arq."""

    def __init__(self, pool: ArqRedis, bells: Bells) -> None:
        self.pool = pool
        self._bells = bells

    async def dispatch(self, node_id: str, assignments: Sequence[Assignment]) -> None:
        """Raises Unavailable when the message could not be left; no bell rings then."""
        if not assignments:
            return
        queue = _queue(self.pool, node_id)
        message = encode_message(assignments)
        await call(self.pool.enqueue_job(FUNCTION, message, _queue_name=queue, _expires=MESSAGE_SECONDS))
        await answer(self.pool.expire(queue, QUEUE_SECONDS))
        await self._bells.ring(node_bell(node_id))


def doorbell_worker(pool: ArqRedis, node_id: str, on_assignments: OnAssignments) -> Worker:
    """arq's worker on the queue of a node, for `drain_doorbell`. It takes no signals and closes nothing of ours.

    `on_assignments` gets (job_id, run_no) each, has 30 s, and what it raises is logged by arq.
    """

    refused = _Refusals()

    async def handle(*context_and_messages: Any, **_: Any) -> None:
        for assignments in context_and_messages[1:]:
            await on_assignments(assignments)

    return Worker(
        functions=[func(handle, name=FUNCTION)],
        redis_pool=pool,
        queue_name=_queue(pool, node_id),
        burst=True,
        handle_signals=False,
        max_tries=1,
        retry_jobs=False,
        keep_result=0,
        job_timeout=HANDLING_SECONDS,
        poll_delay=POLL_SECONDS,
        job_serializer=_write,
        job_deserializer=_reader(refused),
        log_results=False,
        ctx={_REFUSED: refused},
    )


def refused_messages(worker: Worker) -> int:
    """How many messages this worker has refused, queues that it threw away included."""
    return int(worker.ctx[_REFUSED].value)


async def drain_doorbell(worker: Worker) -> None:
    """Handle every message that waits. Raises Unavailable when Redis is away, and nothing else for what it finds there.

    A queue that arq chokes on is thrown away: what was in it is rung again from the store. arq is asked to end, never
    cancelled: see `app.storage.redis`.
    """
    worker.max_burst_jobs = UNLIMITED
    timer = asyncio.get_running_loop().call_later(DRAIN_SECONDS, _end_burst, worker)
    try:
        await asyncio.shield(worker.async_run())
    except asyncio.CancelledError:
        _end_burst(worker)
        raise
    except (RedisConnectionError, RedisTimeout, OSError) as error:
        raise Unavailable("Redis") from error
    except Exception:
        worker.ctx[_REFUSED].add()
        log.exception("doorbell.thrown_away", queue=worker.queue_name)
        await answer(worker.pool.delete(worker.queue_name))
    finally:
        timer.cancel()


def _end_burst(worker: Worker) -> None:
    """arq ends a burst at the next look at its queue once it has begun as many messages as it may."""
    worker.max_burst_jobs = 0


def _queue(pool: ArqRedis, node_id: str) -> str:
    return f"{pool.default_queue_name}:{node_id}"


def _write(envelope: dict[str, Any]) -> bytes:
    """arq's envelope as JSON. Errors in results, which are kept for no time at all, become their text."""
    return orjson.dumps(envelope, default=repr)


def _reader(refused: _Refusals) -> Callable[[bytes], dict[str, Any]]:
    def read(data: bytes) -> dict[str, Any]:
        """The envelope with its message decoded. One of any other shape becomes a call without a message."""
        try:
            return _envelope(orjson.loads(data))
        except (ValueError, Invalid) as error:
            refused.add()
            log.warning("doorbell.message_refused", error=str(error))
            return {"t": None, "f": FUNCTION, "a": [], "k": {}, "et": 0}

    return read


def _envelope(envelope: object) -> dict[str, Any]:
    match envelope:
        case {"t": None, "f": "assignments", "a": [payload], "k": {**named}, "et": int(at)} if not named:
            return {"t": None, "f": FUNCTION, "a": [decode_message(payload)], "k": {}, "et": at}
    raise Invalid.one("", "not an envelope of one assignments message")
