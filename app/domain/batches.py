"""A batch: many jobs submitted as one thing. Its record, its states, its counts, and the ids of its jobs.

The jobs are the truth: how many are in which state is counted from them, and the batch is settled when none is open.
The record holds what only the batch knows: how its jobs follow each other, and what a user or a rule wants of all of
them (`control`). Such a wish is written first and carried out job by job; it stands until that is done, so that whoever
finds it after a crash goes on. A sweep is a batch too: its jobs are trials, laid out at once or one by one.

The id of a job follows from the batch and its place in it (`member_id`), so that it cannot be made twice.
"""

from __future__ import annotations

from base64 import b32hexdecode, b32hexencode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from app.domain.job import Control, Membership
from app.domain.json import Json
from app.domain.states import TERMINAL, JobStatus
from app.domain.timestamps import rfc3339

MAX_JOBS = 10_000
MOST_ENTRIES = 500
"""Of a batch's history: the newest. A batch may be paused and resumed, or its jobs be retried, without end."""
PREFIX = "batch_"
_INDEX_BYTES = 3
_ID_BYTES = 16


class BatchKind(StrEnum):
    """A list of jobs, or a search whose jobs are trials."""

    BATCH = "batch"
    SWEEP = "sweep"


class ExecutionMode(StrEnum):
    """How the jobs of a batch follow each other: as room allows, or each after the one before has ended."""

    PARALLEL = "parallel"
    SEQUENTIAL = "sequential"


class BatchStatus(StrEnum):
    """The public states of a batch."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


ENDED = frozenset({BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.CANCELLED})


CONTROLS = ("hold", "release", "resume", "cancel", "stop", "retry")
"""What may be wanted of all jobs of a batch: hold what waits; and have what runs leave its node; let go on; end what is
open, as a user wants or as a rule does; have another attempt at what did not complete."""
ENDING = frozenset({"cancel", "stop"})


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of a batch's jobs are in which state. A sweep's trials that are not asked for yet are in none."""

    states: Mapping[JobStatus, int] = field(default_factory=dict)

    def of(self, *states: JobStatus) -> int:
        return sum(self.states.get(s, 0) for s in states)

    @property
    def laid_out(self) -> int:
        """Jobs that exist."""
        return sum(self.states.values())

    @property
    def open(self) -> int:
        """Jobs that have not ended."""
        return self.laid_out - self.of(*TERMINAL)

    @property
    def failed(self) -> int:
        return self.of(JobStatus.FAILED, JobStatus.TIMEOUT)

    def tell(self) -> dict[str, int]:
        """All ten states by their names in small letters, and `total`: as answers and events have it."""
        return {"total": self.laid_out, **{s.value.lower(): self.states.get(s, 0) for s in JobStatus}}


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One line of a batch's history, as of a job's."""

    seq: int
    source: BatchStatus | None
    to: BatchStatus
    reason: str
    at: datetime
    actor: str
    detail: str | None
    op: str


@dataclass(frozen=True, slots=True)
class Callback:
    """What is to be told to `callback_url`: the end of the batch at `seq`. `tries` made so far, the next one at `due`;
    `delivered` and `trouble`: how the last one went. `due` is None when there is nothing more to try."""

    url: str
    seq: int | None = None
    tries: int = 0
    due: datetime | None = None
    delivered_at: datetime | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The whole batch. `size`: jobs in all, laid out or not; `max_parallel`: how many of them may be in the queue or
    further at once, None: any number; `template`: that of all its jobs, None where they differ; `counts`: as recorded
    last, exact once it has ended; `spec`: what a sweep searches, as it was asked; `outcome`: what a sweep has found."""

    id: str
    kind: BatchKind
    name: str
    tenant: str
    status: BatchStatus
    seq: int
    size: int
    submitted_at: datetime
    history: tuple[BatchEntry, ...]
    mode: ExecutionMode = ExecutionMode.PARALLEL
    max_parallel: int | None = None
    fail_fast: bool = False
    template: str | None = None
    control: Control | None = None
    callback: Callback | None = None
    finished_at: datetime | None = None
    counts: Counts = field(default_factory=Counts)
    counted_at: datetime | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    spec: Mapping[str, Json] | None = None
    outcome: Mapping[str, Json] | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def sequential(self) -> bool:
        return self.mode is ExecutionMode.SEQUENTIAL

    @property
    def width(self) -> int | None:
        """How many of its jobs may be in the queue or further at once; None: any number."""
        return 1 if self.sequential else self.max_parallel

    def wants(self, *actions: str) -> bool:
        """Whether one of these is wanted of its jobs and not carried out on all of them yet."""
        return self.control is not None and self.control.action in actions

    def membership(self, index: int) -> Membership:
        """What its job at this place carries of it."""
        return Membership(index, self.width, self.sequential)


def new_batch_id(now: datetime, entropy: bytes) -> str:
    """A fresh, time-ordered batch id. `entropy`: 7 random bytes."""
    millis = int(now.timestamp() * 1000)
    raw = millis.to_bytes(6, "big") + entropy[: _ID_BYTES - 6 - _INDEX_BYTES] + bytes(_INDEX_BYTES)
    return PREFIX + _text(raw)


def member_id(batch_id: str, index: int) -> str:
    """The id of the job at this place of the batch: like every other, and in the order of the places."""
    return "job_" + _text(_shared(batch_id) + index.to_bytes(_INDEX_BYTES, "big"))


@lru_cache(maxsize=64)
def _shared(batch_id: str) -> bytes:
    """What the ids of all its jobs begin with. Remembered, since a batch asks ten thousand times."""
    return b32hexdecode(batch_id.removeprefix(PREFIX).upper() + "======")[: _ID_BYTES - _INDEX_BYTES]


def _text(raw: bytes) -> str:
    return b32hexencode(raw).decode().rstrip("=").lower()


def told(batch: Batch, counts: Counts) -> dict[str, Json]:
    """What those who listen are told of a batch: its newest entry, and the counts as they are known."""
    entry = batch.history[-1]
    return {
        "id": batch.id,
        "status": batch.status.value,
        "counts": counts.tell(),
        "size": batch.size,
        "at": rfc3339(max(entry.at, batch.counted_at or entry.at)),
        "name": batch.name,
        "kind": batch.kind.value,
        "seq": batch.seq,
        "reason": entry.reason,
        "actor": entry.actor,
        "detail": entry.detail,
    }


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """Filters of a listing, newest first; None and empty mean: any. `after`: a batch id, exclusive."""

    status: frozenset[BatchStatus] = frozenset()
    kind: BatchKind | None = None
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of a listing; `next_after` is the last id when more follow."""

    batches: tuple[Batch, ...]
    next_after: str | None
