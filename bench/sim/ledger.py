"""The ledger of the simulated cluster: the service's node records, and no mercy for a placement that they cannot hold.

Invariant: on every node `free` plus its allocations is its capacity, and a GPU has at most one holder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.domain.nodes import Allocation, Node
from app.domain.resources import Vector
from bench.sim.jobs import SimJob


class LedgerError(Exception):
    """A policy gave out what was not there."""


@dataclass(frozen=True, slots=True)
class Run:
    """A job that holds its place since `started` and ends at `ends` (µs)."""

    job: SimJob
    node_id: str
    started: int

    @property
    def ends(self) -> int:
        return self.started + self.job.takes


class Ledger:
    """Nodes by id, and the runs on them."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes: dict[str, Node] = {n.id: n for n in sorted(nodes, key=lambda n: n.id)}
        self.runs: dict[str, Run] = {}
        self.on_node: dict[str, dict[str, Run]] = {node_id: {} for node_id in self.nodes}

    def start(self, job: SimJob, node_id: str, gpus: tuple[int, ...], now: int) -> Run:
        """Give the job its place. Raises LedgerError when the node has not that much, or not these GPUs."""
        node = self.nodes[node_id]
        if job.id in self.runs:
            raise LedgerError(f"{job.id} runs already")
        if not job.vector.fits(node.free):
            raise LedgerError(f"{node_id} has {node.free}, {job.id} needs {job.vector}")
        if len(set(gpus)) != job.vector.gpu or not set(gpus) <= set(node.free_gpus):
            raise LedgerError(f"{node_id} has GPUs {node.free_gpus}, {job.id} was given {gpus}")
        held = (*node.allocations, Allocation(job.id, 1, job.vector, gpus))
        self.nodes[node_id] = replace(node, free=node.free - job.vector, allocations=held)
        run = Run(job, node_id, now)
        self.runs[job.id] = self.on_node[node_id][job.id] = run
        return run

    def end(self, job_id: str) -> Run:
        """Take back what the job holds."""
        run = self.runs.pop(job_id)
        del self.on_node[run.node_id][job_id]
        node = self.nodes[run.node_id]
        held = tuple(a for a in node.allocations if a.job_id != job_id)
        self.nodes[run.node_id] = replace(node, free=node.free + run.job.vector, allocations=held)
        return run

    def free(self) -> Vector:
        """What is free of all nodes together."""
        return Vector(*(sum(parts) for parts in zip(*(n.free.parts() for n in self.nodes.values()), strict=True)))
