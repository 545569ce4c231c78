"""What does not agree between ledger, jobs and dispatch; pure. The reconciler loads, asks here, and mends.

A thing is only called wrong after it has been wrong for a while (`Suspects`): between a reservation and its
compare-and-set, and between a run's end and its release, every correct cycle is in that state for a moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from app.domain.job import Job
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.states import ON_NODE, JobStatus

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
    """The runs that must hold an allocation, of jobs that are SCHEDULED or RUNNING, by id with node and run_no."""
    return {Held(node_id, job_id, run_no) for job_id, (node_id, run_no) in on_node.items() if node_id is not None}


def holds_room(job: Job | None, held: Held) -> bool:
    """Whether this job's present run is the one that the allocation is for. A job frozen on its node keeps its room."""
    if job is None or (job.node_id, job.run_no) != (held.node_id, held.run_no):
        return False
    return job.status in ON_NODE or (job.status is JobStatus.PAUSED and job.paused_from is JobStatus.RUNNING)


def allocation_for(job: Job) -> Allocation:
    """The allocation that a live run must hold."""
    return Allocation(job.id, job.run_no, job.resources, job.gpu_indices)


@dataclass(frozen=True, slots=True)
class Overdue:
    """SCHEDULED jobs that have not started in time: rung again, or taken back."""

    ring: tuple[Job, ...]
    take_back: tuple[Job, ...]


def overdue_dispatches(jobs: Sequence[Job], nodes: Mapping[str, Node], now: datetime, give_up: timedelta) -> Overdue:
    """Ring until the dispatch is `give_up` old; take it back then, or at once when the node takes no runs any more."""
    ring: list[Job] = []
    back: list[Job] = []
    for job in jobs:
        node = nodes.get(job.node_id or "")
        age = now - (job.scheduled_at or job.submitted_at)
        able = node is not None and node.state is not NodeState.LOST
        (ring if able and age < give_up else back).append(job)
    return Overdue(tuple(ring), tuple(back))
