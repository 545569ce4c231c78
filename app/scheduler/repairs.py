"""What does not agree between ledger, jobs and dispatch; pure. The reconciler loads, asks here, and mends.

A thing is only called wrong after it has been wrong for a while (`Suspects`): between a reservation and its
compare-and-set, and between a run's end and its release, every correct cycle is in that state for a moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from app.domain.job import Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.states import ON_NODE, JobStatus

MAY_HOLD_ROOM = frozenset({*ON_NODE, JobStatus.PAUSED})
"""States in which a job with a node may hold an allocation on it."""

Key = TypeVar("Key", bound=Hashable)


class Held(NamedTuple):
    """An allocation on a node."""

    node_id: str
    job_id: str
    run_no: int


class Suspects(Generic[Key]):
    """Things seen wrong, and since when (seconds on a monotonic clock). Seen right once, a thing is forgotten."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def confirmed(self, seen: Iterable[Key], now: float, grace: float) -> list[Key]:
        """Those that have been wrong in every look for at least `grace` seconds."""
        self._since = {key: self._since.get(key, now) for key in seen}
        return [key for key, since in self._since.items() if now - since >= grace]


def allocations_of(nodes: Iterable[Node]) -> set[Held]:
    return {Held(n.id, a.job_id, a.run_no) for n in nodes for a in n.allocations}


def live_runs(on_node: Mapping[str, tuple[str | None, int]]) -> set[Held]:
    """The runs that must hold an allocation, of jobs in `MAY_HOLD_ROOM` by id with node and run_no: a PAUSED job has a
    node exactly while it is frozen there."""
    return {Held(node_id, job_id, run_no) for job_id, (node_id, run_no) in on_node.items() if node_id is not None}


def holds_room(job: Job | None, held: Held) -> bool:
    """Whether this job's present run is the one that the allocation is for. A job frozen on its node keeps its room."""
    return job is not None and job.on_node and (job.node_id, job.run_no) == (held.node_id, held.run_no)


def allocation_for(job: Job, node: Node) -> Allocation:
    """The allocation that a live run must hold: what it asked for, or as a suspect the whole node."""
    if job.suspect:
        return Allocation(job.id, job.run_no, node.capacity, tuple(range(node.capacity.gpu)))
    return Allocation(job.id, job.run_no, job.resources, job.gpu_indices)


@dataclass(frozen=True, slots=True)
class Overdue:
    """Dispatches that nobody took up in time: rung again, or taken back."""

    ring: tuple[Held, ...]
    take_back: tuple[Held, ...]


def overdue_dispatches(late: Iterable[Held], given_up: Iterable[Held], nodes: Mapping[str, Node]) -> Overdue:
    """Take back what is given up, or is on a node that is lost; ring for the others that are late.

    A node whose lease has lapsed is not lost before the reaper has fenced it.
    """
    over = set(given_up)
    ring: list[Held] = []
    back: list[Held] = []
    for held in late:
        node = nodes.get(held.node_id)
        able = node is not None and node.state is not NodeState.LOST
        (ring if able and held not in over else back).append(held)
    return Overdue(tuple(ring), tuple(back))
