"""The truth as protocols: jobs, nodes with their ledger, leases, definitions, answers; and whether it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from app.domain.calibration import Calibration
from app.domain.job import Job, Progress
from app.domain.nodes import Allocation, Drain, Node, NodeReport, NodeState
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import JobPage, JobQuery, StateCount, StoredAnswer
from app.domain.scheduler_state import QueuePause, SchedulerState
from app.domain.states import JobStatus
from app.domain.transitions import Change


class JobStore(Protocol):
    """Jobs. Writes of concurrent callers are gathered and sent together (group commit)."""

    async def insert(self, job: Job) -> None:
        """Durable when it returns. Inserting the same job twice is one insert."""

    async def insert_with_answer(self, job: Job, answer: StoredAnswer) -> StoredAnswer | None:
        """Insert job and answer as one. Returns the earlier answer, and inserts nothing, when the key is taken."""

    async def answer_under(self, key: str) -> StoredAnswer | None:
        """The answer that a job was inserted with under this key; None after the 24 h for which it is kept."""

    async def get(self, job_id: str) -> Job | None: ...

    async def get_many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Those that exist, by id."""

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Compare-and-set each on its `seq`; True where this very change is in the history now."""

    async def save_progress(self, job_id: str, progress: Progress) -> bool:
        """Only while the job is RUNNING with the same `run_no`; never touches `seq`."""

    async def find(self, query: JobQuery) -> JobPage: ...

    async def count(self, query: JobQuery) -> int: ...

    async def waiting_on(self, parent_ids: Iterable[str]) -> list[Job]:
        """SUBMITTED and PAUSED jobs that name one of these as a dependency."""

    async def classes_waiting_on(self, parent_ids: Iterable[str]) -> dict[str, Priority]:
        """The most urgent effective class of the jobs of `waiting_on`, for each of these; without any it is left out.
        However many wait, the answer is small."""

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Jobs for which a time has come: start_after, retry_at, or queue_deadline."""

    async def on_node(self, node_id: str, status: Iterable[JobStatus]) -> list[Job]: ...

    async def in_state(self, status: Iterable[JobStatus]) -> dict[str, tuple[str | None, int]]:
        """Ids of all jobs in these states with their node and run_no."""

    def queued_tickets(self, batch: int = 1_000) -> AsyncIterator[list[Ticket]]:
        """Tickets of every QUEUED job, in batches."""

    async def ended_before(self, moment: datetime, limit: int, after: EndedJob | None = None) -> list[EndedJob]:
        """Terminal jobs that ended earlier, the oldest first, from beyond `after` on."""

    async def depended_on(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the ids that a job that has not ended names as a dependency."""

    async def absent(self, job_ids: Iterable[str]) -> set[str]:
        """Those of the ids that no document has, readable or not."""

    async def delete_ended(self, job_ids: Iterable[str], before: datetime) -> int:
        """Delete those that are terminal and ended earlier. Answers how many."""

    async def rekey(self, keys: Sequence[tuple[str, float, float]]) -> list[Ticket]:
        """Give QUEUED jobs other order keys, (id, present, new) each, without a trace in their histories: nobody moves
        past anybody. Those whose key is another by now keep it. Answers the tickets of the others."""

    async def waiting_of(self, tenant: str, most: int) -> int:
        """How many jobs of the tenant wait (SUBMITTED, QUEUED, RETRYING), counted no further than `most`."""

    async def waiting_for(self, limits: Iterable[str], most: int) -> list[Job]:
        """SUBMITTED jobs that name one of these limits: of each effective class the first in order, at most `most`."""

    async def waiting_counts(self, limits: Iterable[str]) -> dict[str, int]:
        """How many jobs are SUBMITTED that name it, for each of these limits."""

    async def place_holders(self) -> dict[str, tuple[str, ...]]:
        """Jobs that must have places, by id, with their limits (`app.domain.limits.holds_places`, `limits_of`)."""

    async def state_counts(self) -> list[StateCount]:
        """Per non-terminal state and effective class."""

    async def mean_waits(self, since: datetime) -> dict[Priority, float]:
        """Mean seconds from queued to started of jobs started since then, per class that has any."""

    async def queued_since(self) -> dict[Priority, datetime]:
        """Since when the job is queued that is so for the longest time, per effective class that has any."""

    async def not_eligible(self, now: datetime) -> dict[str, int]:
        """How many SUBMITTED jobs wait for their start time, for their dependencies, or for a place in a limit, by the
        code of the reason; the first that holds counts."""


class EndedJob(NamedTuple):
    """A terminal job, in the order of their ends."""

    finished_at: datetime
    id: str
    batch_id: str | None = None
    workflow_id: str | None = None


class NodeStore(Protocol):
    """Nodes with the ledger of their allocations. Reserve and release are idempotent."""

    async def register(self, node: Node) -> None:
        """Upsert what the node is; its allocations stay, `free` is capacity less them. A patient drain ends."""

    async def get(self, node_id: str) -> Node | None: ...

    async def all(self) -> list[Node]:
        """By id, with `lease_until` filled in."""

    async def reserve(self, node_id: str, allocations: Sequence[Allocation], epoch: int | None = None) -> bool:
        """All of them in one guarded update, or none: absent before, enough free, GPUs free, node READY, and of that
        epoch where one is named: a node that registered anew may be another."""

    async def release(self, node_id: str, runs: Sequence[tuple[str, int]]) -> int:
        """Give back the allocations of these (job_id, run_no); absent ones are skipped. Answers how many were held."""

    async def set_state(
        self, node_id: str, state: NodeState, reason: str, at: datetime, epoch: int | None = None
    ) -> bool:
        """Whether the node exists, and is of that epoch where one is named. A state it has already is told no more."""

    async def set_drain(
        self, node_id: str, drain: Drain | None, at: datetime, *, patiently: bool = False
    ) -> Node | None:
        """Have it drain, or take work again; kept over registrations. The node after it; None when there is none.

        A READY node becomes DRAINING and back; a LOST one stays so until it registers. `patiently`: a wish that is not
        patient stands, and nothing is changed.
        """

    async def forget(self, node_id: str) -> bool:
        """Delete a node that is LOST and holds no allocation, unless somebody wants it to drain who is not patient.
        Whether it was. Its lease stays: an epoch must never come again."""

    async def report(self, node_id: str, report: NodeReport, epoch: int) -> None:
        """Keep what a node says of itself, in that epoch only. A node that is not there says nothing."""

    async def forget_lost(self, before: datetime) -> list[str]:
        """Delete nodes that were lost earlier, hold no allocation and were not told to drain. Answers their ids.

        Their leases stay: an epoch must never come again.
        """


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: its epoch (or term) grows with each new holder; `until` is the store's clock."""

    name: str
    holder: str
    epoch: int
    until: datetime


@dataclass(frozen=True, slots=True)
class StorePrimary:
    """The member that takes writes, and the election that made it so: another value means that another time began."""

    member: str
    election: str


def node_lease(node_id: str) -> str:
    """The name of a node's lease; `NodeStore.all` reads `lease_until` from it."""
    return f"node:{node_id}"


class LeaseStore(Protocol):
    """Leases by the store's own clock."""

    async def acquire(self, name: str, holder: str, term: timedelta) -> Lease | None:
        """Take it when free, expired, or held by the same holder (a new epoch each time); None when another holds
        it."""

    async def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        """Extend it under the same epoch; None when it was fenced."""

    async def give_back(self, lease: Lease) -> None: ...

    async def lapsed(self) -> list[Lease]:
        """Every lease whose time is over by the store's clock."""

    async def fence(self, name: str, epoch: int) -> bool:
        """End an epoch whose time is over, so that its holder can renew no more. True when nobody can renew under it:
        ended now, or earlier; False while it lives."""

    async def primary(self) -> StorePrimary:
        """Who answers for the store now, to see whether that has changed."""

    async def server_time(self) -> datetime: ...


class AnswerStore(Protocol):
    """Answers kept under an Idempotency-Key for 24 h, but for those that are inserted with a job."""

    async def get(self, key: str) -> StoredAnswer | None: ...

    async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
        """Store it; the earlier one when the key is taken."""


class SchedulerStore(Protocol):
    """What the scheduler's leader hands on to itself and to the next one, and the pause of the queue."""

    async def state(self) -> SchedulerState:
        """As it was kept last; the initial one when there is none."""

    async def keep(self, state: SchedulerState, term: int) -> bool:
        """False, and nothing is kept, when a later leader has kept one."""

    async def calibration(self) -> Calibration:
        """What was learned of start estimates; the initial one when there is none."""

    async def keep_calibration(self, calibration: Calibration, term: int) -> bool:
        """As `keep`."""

    async def pause(self) -> QueuePause | None: ...

    async def set_pause(self, pause: QueuePause | None) -> QueuePause | None:
        """The pause that stands afterwards: the first of two is kept. None takes it away."""


class Health(Protocol):
    async def check(self) -> dict[str, str]:
        """Per store `ok`, or what is wrong."""
