"""What the service needs of the world, as protocols. `app.storage` implements them; memory adapters pass the same
tests.

Every call may raise `Unavailable` when its store is away for longer than the store's patience. A change that was not
answered may be committed again, unchanged: its `op` makes that idempotent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from app.domain.events import Event
from app.domain.job import Job, Progress
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import (
    ArtifactInfo,
    Board,
    BucketHead,
    Dataset,
    JobPage,
    JobQuery,
    LogLine,
    Member,
    MetricPoint,
    Place,
    RunSummary,
    StateCount,
    StoredAnswer,
)
from app.domain.states import JobStatus
from app.domain.templates import Template, TemplateDraft
from app.domain.transitions import Change


class JobStore(Protocol):
    """Jobs. Writes of concurrent callers are gathered and sent together (group commit)."""

    async def insert(self, job: Job) -> None:
        """Durable when it returns. Inserting the same job twice is one insert."""

    async def insert_with_answer(self, job: Job, answer: StoredAnswer) -> StoredAnswer | None:
        """Insert job and stored answer in one transaction. Returns the earlier answer when the key is taken."""

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
        """SUBMITTED jobs that name one of these as a dependency."""

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Jobs for which a time has come: start_after, retry_at, or queue_deadline."""

    async def unsettled(self, limit: int) -> list[Job]:
        """SUBMITTED jobs with dependencies, oldest first: what the reconciler looks at again."""

    async def scheduled_before(self, moment: datetime, limit: int) -> list[Job]:
        """SCHEDULED jobs whose dispatch is older: to be rung again or taken back."""

    async def on_node(self, node_id: str, status: Iterable[JobStatus]) -> list[Job]: ...

    async def in_state(self, status: Iterable[JobStatus]) -> dict[str, tuple[str | None, int]]:
        """Ids of all jobs in these states with their node and run_no."""

    def queued_tickets(self, batch: int = 1_000) -> AsyncIterator[list[Ticket]]:
        """Tickets of every QUEUED job, in batches."""

    async def state_counts(self) -> list[StateCount]:
        """Per non-terminal state and effective class."""

    async def mean_waits(self, since: datetime) -> dict[Priority, float]:
        """Mean seconds from queued to started of jobs started since then, per class that has any."""


class NodeStore(Protocol):
    """Nodes with the ledger of their allocations. Reserve and release are idempotent."""

    async def register(self, node: Node) -> None:
        """Upsert what the node is; its allocations stay, `free` is capacity less them."""

    async def get(self, node_id: str) -> Node | None: ...

    async def all(self) -> list[Node]:
        """By id, with `lease_until` filled in."""

    async def reserve(self, node_id: str, allocations: Sequence[Allocation]) -> bool:
        """All of them in one guarded update, or none: absent before, enough free, GPUs free, node READY."""

    async def release(self, node_id: str, runs: Sequence[tuple[str, int]]) -> int:
        """Give back the allocations of these (job_id, run_no); absent ones are skipped. Answers how many were held."""

    async def set_state(self, node_id: str, state: NodeState, reason: str, at: datetime) -> bool: ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: its epoch (or term) grows with each new holder; `until` is the store's clock."""

    name: str
    holder: str
    epoch: int
    until: datetime


def node_lease(node_id: str) -> str:
    """The name of a node's lease; `NodeStore.all` reads `lease_until` from it."""
    return f"node:{node_id}"


class LeaseStore(Protocol):
    """Leases by the store's own clock."""

    async def acquire(self, name: str, holder: str, term: timedelta) -> Lease | None:
        """Take it when free, expired, or held by the same holder (a new epoch each time); None when another holds
        it."""

    async def take_over(self, name: str, holder: str, term: timedelta) -> Lease:
        """Take it whoever holds it, under a new epoch: a node that registers anew."""

    async def renew(self, lease: Lease, term: timedelta) -> Lease | None:
        """Extend it under the same epoch; None when it was fenced."""

    async def give_back(self, lease: Lease) -> None: ...

    async def server_time(self) -> datetime: ...


class TemplateStore(Protocol):
    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        """That version, else the newest."""

    async def all(self) -> list[Template]:
        """Newest version of each, by id."""

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        """False when this id and version exist."""


class DatasetStore(Protocol):
    async def get(self, name: str) -> Dataset | None: ...

    async def all(self) -> list[Dataset]: ...

    async def insert(self, dataset: Dataset) -> bool:
        """False when the name is taken."""

    async def delete(self, name: str) -> bool: ...


class NameRegister(Protocol):
    async def claim(self, base: str) -> int:
        """1 for the first job with this base name, then 2, 3, …"""


class AnswerStore(Protocol):
    """Answers kept under an Idempotency-Key for 24 h."""

    async def get(self, key: str) -> StoredAnswer | None: ...

    async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
        """Store it; the earlier one when the key is taken."""


class RunStore(Protocol):
    async def insert(self, summary: RunSummary) -> None:
        """Once per (job, run_no); group commit."""

    async def durations(self, template: str, limit: int = 100) -> list[float]:
        """Run seconds of the newest completed runs of a template, newest first."""


class LogStore(Protocol):
    async def append(self, job_id: str, run_no: int, lines: Sequence[LogLine]) -> None: ...

    async def read(
        self, job_id: str, run_no: int | None = None, *, after: int = 0, step: str | None = None, limit: int = 1_000
    ) -> list[LogLine]:
        """Lines of a run (the newest when None) with `n` above `after`, ascending."""


class MetricStore(Protocol):
    async def append(self, job_id: str, run_no: int, points: Sequence[MetricPoint]) -> None: ...

    async def read(
        self, job_id: str, names: Iterable[str] = (), run_no: int | None = None
    ) -> dict[str, list[MetricPoint]]:
        """Series by metric name, ascending."""


class ArtifactStore(Protocol):
    async def put(self, info: ArtifactInfo, source: Path) -> None:
        """Stored whole or not at all; the same name of a later run hides the earlier one."""

    async def list(self, job_id: str, kind: str = "artifact") -> list[ArtifactInfo]: ...

    async def get(self, job_id: str, name: str, kind: str = "artifact") -> ArtifactInfo | None: ...

    def read(self, info: ArtifactInfo) -> AsyncIterator[bytes]: ...


class QueueIndex(Protocol):
    """The priority queues: a rebuildable index. Nothing is decided from it alone."""

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        """Add (or move) each and tell where it stands; wakes the scheduler."""

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        """Remove; absent ones are skipped. Answers how many were there."""

    async def heads(self) -> list[BucketHead]:
        """Every non-empty bucket with its first member."""

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        """The first n members of each bucket."""

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        """Where these wait; absent ones are left out."""

    async def listing(self, offset: int, limit: int) -> list[Member]:
        """Members in the whole order, from the offset on."""

    async def lengths(self) -> dict[Priority, int]: ...

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        """Those of the ids that the index does not hold."""

    def all_ids(self) -> AsyncIterator[list[str]]:
        """Every id that the index holds, in batches; one that moves meanwhile may come twice or not at all."""

    async def epoch(self) -> str | None:
        """A mark that is lost when the index loses its data."""

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """Build anew beside the old one, then swap and set a new epoch. Answers how many were indexed."""

    async def publish(self, board: Board) -> None: ...

    async def board(self) -> Board | None: ...


class Dispatcher(Protocol):
    """The doorbell to nodes. A message has no authority: the claim in the store decides."""

    async def dispatch(self, node_id: str, assignments: Sequence[tuple[str, int]]) -> None:
        """One message with all (job_id, run_no) for the node, and a ring."""


class Bells(Protocol):
    """Hints that something changed; may be lost."""

    async def ring(self, name: str) -> None:
        """Never raises: a bell that cannot ring is replaced by the next beat."""

    def listen(self, name: str) -> AbstractAsyncContextManager[Waker]: ...


class Waker(Protocol):
    """A bell being listened to."""

    async def wait(self, timeout: float) -> bool:
        """True when it rang (once for any number of rings since the last wait), False after `timeout` seconds."""


SCHEDULER_BELL = "scheduler"
"""Jobs entered the queue."""
ROOM_BELL = "room"
"""Resources were freed, or a node joined: what could not be placed before may be placed now."""


def node_bell(node_id: str) -> str:
    """The bell of a node: assignments and controls."""
    return f"node:{node_id}"


class ChangeFeed(Protocol):
    """Every transition, progress and log line, as it becomes durable.

    Of the events that one write gives only the last has a token: resuming after it misses none and repeats none.
    """

    @property
    def mode(self) -> str:
        """`watch`: pushed by the store as it happens; `poll`: the store refuses to push, so it is asked each second."""

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """From now on, or after that token. A lost history gives one `resync` event, never a silent gap."""

    async def opened(self) -> None:
        """Returns when an iterator of `events` is open: what becomes durable from here on is told by it."""

    async def token_now(self) -> str:
        """A token to resume from: everything that becomes durable after this call comes after it."""

    async def valid_token(self, token: str) -> bool:
        """Whether the text can be a token of this feed. False for whatever else was sent."""


class Health(Protocol):
    async def check(self) -> dict[str, str]:
        """Per store `ok`, or what is wrong."""
