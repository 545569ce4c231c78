"""Queue tickets from the few fields of a job that they need.

A rebuild of the index reads the ticket of every waiting job, and most of them are in few buckets; so a bucket is
checked and made once, and then found by what it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from app.domain.job import SUSPECT_AFTER
from app.domain.priority import Priority
from app.domain.queueing import Bucket, Ticket
from app.domain.resources import Vector
from app.storage.shapes import check_amounts, check_selector, check_ticket

FIELDS = dict.fromkeys(("order_key", "effective_priority", "tenant", "resources", "node_selector", "infra_losses"), 1)
"""The projection that a ticket is made of."""
BUCKETS = 10_000


def ticket_from(document: Mapping[str, Any]) -> Ticket:
    """As `ticket_of` of the job. Raises for a document that no ticket can be made of."""
    check_ticket(document)
    amounts, selector = document["resources"], document["node_selector"]
    bucket = _bucket(
        document["effective_priority"],
        document["tenant"],
        tuple(sorted(selector.items())) if selector else (),
        document["infra_losses"] >= SUSPECT_AFTER,
        amounts["cpu_millicores"],
        amounts["memory_mib"],
        amounts["gpu"],
        amounts["storage_gib"],
    )
    return Ticket(document["_id"], document["order_key"], document["order_key"], bucket)


@lru_cache(maxsize=BUCKETS, typed=True)
def _bucket(priority: str, tenant: str, selector: tuple[tuple[str, Any], ...], alone: bool, *amounts: Any) -> Bucket:
    """Typed, since 1 and 1.0 are equal and only one of them is an amount."""
    check_selector(dict(selector))
    check_amounts(amounts)
    return Bucket(Priority(priority), tenant, Vector(*amounts), selector, alone)
