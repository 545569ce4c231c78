"""A node's lease: taken at the start and after a fence, never from a supervisor that lives.

The holder is the node on this machine and in this folder, so a restart has the lease back at once. When somebody else
holds it, that one may have crashed: its lease is waited for. One that is renewed meanwhile lives, and this worker is
the second of its name.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from app.domain.ports import Lease, node_lease
from app.services import Services
from app.startup import StartupTrouble
from workers.boottime import boot_seconds
from workers.guarding import Guarding

log = structlog.get_logger()
LOOK_SECONDS = 1.0


async def take_lease(services: Services, node_id: str, holder: str, guard: Guarding) -> Lease:
    """The lease, under a new epoch, and the guard told of it. Raises StartupTrouble when another supervisor has it."""
    term = services.settings.lease
    seen: datetime | None = None
    while True:
        asked = boot_seconds()
        lease = await services.leases.acquire(node_lease(node_id), holder, term.duration)
        if lease is not None:
            await guard.protect(lease.epoch, asked + term.trusted.total_seconds())
            return lease
        node = await services.nodes.get(node_id)
        until = node.lease_until if node is not None else None
        if seen is None:
            log.warning("lease.held_elsewhere", node_id=node_id, until=until)
        elif until is not None and until > seen:
            raise StartupTrouble(served_elsewhere(node_id))
        seen = until or seen
        await asyncio.sleep(min(LOOK_SECONDS, term.beat.total_seconds()))


def served_elsewhere(node_id: str) -> str:
    """Another machine, or another data directory, serves this node."""
    return (
        f"Node {node_id} is served by another worker, on another machine or with another DATA_DIR. Stop it, or give "
        "this worker another name with NODE_ID."
    )
