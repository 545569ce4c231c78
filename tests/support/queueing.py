"""Tickets for tests of the queue index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from app.domain.priority import Priority
from app.domain.queueing import Bucket, Ticket
from app.domain.resources import Vector


def a_bucket(priority: Priority = Priority.NORMAL, cores: int = 1, tenant: str = "default") -> Bucket:
    return Bucket(priority, tenant, Vector(cores * 1000, 1024))


def a_ticket(job_id: str, key: float = 1.0, priority: Priority = Priority.NORMAL, cores: int = 1) -> Ticket:
    return Ticket(job_id, key, key, a_bucket(priority, cores))


async def in_batches(*batches: Iterable[Ticket]) -> AsyncIterator[list[Ticket]]:
    """What a store's cursor gives to a rebuild."""
    for batch in batches:
        yield list(batch)
