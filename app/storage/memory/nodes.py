"""Nodes in memory: the ledger of allocations with the same guards as the MongoDB store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.ids import is_object_id, run_key
from app.domain.nodes import Allocation, Drain, Node, NodeReport, NodeState
from app.domain.ports import node_lease
from app.domain.resources import total
from app.storage.memory.leases import MemoryLeaseStore


class MemoryNodeStore:
    """`NodeStore` over a dictionary. `leases` tells `lease_until`."""

    def __init__(self, leases: MemoryLeaseStore) -> None:
        self._leases = leases
        self._nodes: dict[str, Node] = {}
        self._moved_at: dict[str, datetime] = {}

    async def register(self, node: Node) -> None:
        known = self._nodes.get(node.id)
        drain = known.drain if known and _hurries(known.drain) else None
        state = NodeState.DRAINING if drain is not None and node.state is NodeState.READY else node.state
        report = known.report if known else None
        kept = replace(node, state=state, drain=drain, report=report, allocations=known.allocations if known else ())
        self._nodes[node.id] = _counted(kept)

    async def get(self, node_id: str) -> Node | None:
        node = self._nodes.get(node_id)
        return None if node is None else replace(node, lease_until=self._leases.until(node_lease(node_id)))

    async def all(self) -> list[Node]:
        found = [await self.get(node_id) for node_id in sorted(self._nodes)]
        return [node for node in found if node is not None]

    async def reserve(self, node_id: str, allocations: Sequence[Allocation], epoch: int | None = None) -> bool:
        for allocation in allocations:
            if not is_object_id(allocation.job_id):
                raise ValueError(f"{allocation.job_id!r} is no job id")
        node = self._nodes.get(node_id)
        if node is None:
            return False
        if set(allocations) <= set(node.allocations):
            return True
        if not _has_room(node, allocations) or epoch not in {None, node.epoch}:
            return False
        self._nodes[node_id] = _counted(replace(node, allocations=(*node.allocations, *allocations)))
        return True

    async def release(self, node_id: str, runs: Sequence[tuple[str, int]]) -> int:
        node = self._nodes.get(node_id)
        if node is None:
            return 0
        kept = tuple(a for a in node.allocations if (a.job_id, a.run_no) not in set(runs))
        self._nodes[node_id] = _counted(replace(node, allocations=kept))
        return len(node.allocations) - len(kept)

    async def set_state(
        self, node_id: str, state: NodeState, reason: str, at: datetime, epoch: int | None = None
    ) -> bool:
        """The reason is what the feed tells, and memory has no feed."""
        del reason
        node = self._nodes.get(node_id)
        if node is None or epoch not in {None, node.epoch}:
            return False
        if node.state is not state:
            self._nodes[node_id] = replace(node, state=state)
            self._moved_at[node_id] = at
        return True

    async def set_drain(
        self, node_id: str, drain: Drain | None, at: datetime, *, patiently: bool = False
    ) -> Node | None:
        node = self._nodes.get(node_id)
        if node is None or (patiently and _hurries(node.drain)):
            return await self.get(node_id)
        self._nodes[node_id] = replace(node, drain=drain)
        if drain is not None and node.state is NodeState.READY:
            await self.set_state(node_id, NodeState.DRAINING, "drained", at)
        elif drain is None and node.drain is not None and node.state is NodeState.DRAINING:
            await self.set_state(node_id, NodeState.READY, "resumed", at)
        return await self.get(node_id)

    async def forget(self, node_id: str) -> bool:
        node = self._nodes.get(node_id)
        if node is None or node.state is not NodeState.LOST or node.allocations or _hurries(node.drain):
            return False
        del self._nodes[node_id]
        return True

    async def report(self, node_id: str, report: NodeReport, epoch: int) -> None:
        node = self._nodes.get(node_id)
        if node is not None and node.epoch == epoch:
            self._nodes[node_id] = replace(node, report=report)

    async def forget_lost(self, before: datetime) -> list[str]:
        lost = [n for n in self._nodes.values() if n.state is NodeState.LOST and not n.allocations and n.drain is None]
        gone = [n.id for n in lost if n.id in self._moved_at and self._moved_at[n.id] < before]
        for node_id in gone:
            del self._nodes[node_id]
        return sorted(gone)


def _hurries(drain: Drain | None) -> bool:
    return drain is not None and not drain.patient


def _counted(node: Node) -> Node:
    """The node with `free` as its allocations leave it."""
    allocations = tuple(sorted(node.allocations, key=lambda a: run_key(a.job_id, a.run_no)))
    counted = replace(node, allocations=allocations)
    return replace(counted, free=node.capacity - counted.allocated)


def _has_room(node: Node, allocations: Sequence[Allocation]) -> bool:
    held = {(a.job_id, a.run_no) for a in node.allocations}
    indices = [n for a in allocations for n in a.gpu_indices]
    return (
        node.state is NodeState.READY
        and not any((a.job_id, a.run_no) in held for a in allocations)
        and total([a.vector for a in allocations]).fits(node.free)
        and len(indices) == len(set(indices))
        and set(indices) <= set(node.free_gpus)
    )
