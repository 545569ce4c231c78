"""Queue tickets from the few fields of a job that they need.

A rebuild of the index reads the ticket of every waiting job, and most of them are in few buckets; so a bucket is
checked and made once, and then found by what it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from app.domain.job import SUSPECT_AFTER
from app.domain.priority import SECOND, Priority, order_key
from app.domain.queueing import Bucket, Demand, Selector, Ticket, duration_class, hard_duration, labels
from app.domain.resources import Vector
from app.storage.shapes import check_amounts, check_selector, check_ticket

FIELDS = dict.fromkeys(
    (
        *("order_key", "priority", "effective_priority", "tenant", "resources", "node_selector", "prefer"),
        *("infra_losses", "preemptible", "pin", "submitted_at", "timeout", "expected"),
    ),
    1,
)
"""The projection that a ticket is made of."""
BUCKETS = 10_000


def ticket_from(document: Mapping[str, Any]) -> Ticket:
    """As `ticket_of` of the job. Raises for a document that no ticket can be made of."""
    check_ticket(document)
    amounts, prefer, expected = document["resources"], document.get("prefer"), document.get("expected")
    timeout = document["timeout"]
    mean, cautious = (expected["mean"], expected["cautious"]) if expected else (timeout, timeout)
    cautious_micros = round(cautious * SECOND)
    bucket = _bucket(
        document["effective_priority"],
        document["tenant"],
        labels(document["node_selector"]),
        document["infra_losses"] >= SUSPECT_AFTER,
        document.get("pin"),
        duration_class(cautious_micros),
        amounts["cpu_millicores"],
        amounts["memory_mib"],
        amounts["gpu"],
        amounts["storage_gib"],
    )
    demand = Demand(
        vector=bucket.vector,
        own=Priority(document["priority"]),
        submitted=order_key(document["submitted_at"]),
        mean=round(mean * SECOND),
        cautious=cautious_micros,
        hard=hard_duration(timeout),
        selector=bucket.selector,
        prefer=labels(prefer) if prefer else (),
        alone=bucket.alone,
        preemptible=document["preemptible"],
    )
    return Ticket(document["_id"], document["order_key"], bucket, demand)


@lru_cache(maxsize=BUCKETS, typed=True)
def _bucket(
    priority: str, tenant: str, selector: Selector, alone: bool, pin: int | None, duration: int, *amounts: Any
) -> Bucket:
    """Typed, since 1 and 1.0 are equal and only one of them is an amount."""
    check_selector(dict(selector))
    check_amounts(amounts)
    return Bucket(Priority(priority), tenant, Vector(*amounts), selector, alone, pin, duration)
