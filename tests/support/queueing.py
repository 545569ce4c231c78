"""Tickets for tests of the queue index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from app.domain.priority import Priority
from app.domain.queueing import Bucket, Demand, Ticket
from app.domain.records import Member
from app.domain.resources import Vector


def a_bucket(
    priority: Priority = Priority.NORMAL, cores: int = 1, tenant: str = "default", pin: int | None = None
) -> Bucket:
    return Bucket(priority, tenant, Vector(cores * 1000, 1024), pin=pin)


def a_ticket(
    job_id: str,
    key: float = 1.0,
    priority: Priority = Priority.NORMAL,
    cores: int = 1,
    *,
    tenant: str = "default",
    pin: int | None = None,
    own: Priority | None = None,
    submitted: float | None = None,
) -> Ticket:
    """A ticket whose demand is that of its exact bucket. `own`: the class asked for, `submitted`: the key, unless they
    are given."""
    bucket = a_bucket(priority, cores, tenant, pin)
    return Ticket(job_id, key, bucket, Demand(bucket.vector, own or priority, key if submitted is None else submitted))


def moved(ticket: Ticket, key: float, pin: int | None) -> Ticket:
    """The ticket after a reorder."""
    return replace(ticket, key=key, bucket=replace(ticket.bucket, pin=pin))


def member_of(ticket: Ticket) -> Member:
    return Member(ticket.job_id, ticket.key, ticket.demand)


async def in_batches(*batches: Iterable[Ticket]) -> AsyncIterator[list[Ticket]]:
    """What a store's cursor gives to a rebuild."""
    for batch in batches:
        yield list(batch)
