"""Records that stand beside jobs: queries, run summaries, artifacts, logs, metric points, data sets, stored answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.estimates import Forecast
from app.domain.explain import Reason
from app.domain.failures import FailurePattern
from app.domain.job import Job
from app.domain.json import Json
from app.domain.priority import RANK, Priority
from app.domain.promises import Promise
from app.domain.queueing import Bucket, Demand
from app.domain.resources import Vector
from app.domain.sizing.features import Features
from app.domain.states import JobStatus


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Filters of a listing; None and empty mean: any. Newest first unless `oldest_first`. `text`: words that begin one
    in name, tags or texts of parameters; `facts`: (path, value) of parameters. `after`: a job id, exclusive."""

    status: frozenset[JobStatus] = frozenset()
    template: str | None = None
    algorithm: str | None = None
    tag: str | None = None
    priority: Priority | None = None
    batch_id: str | None = None
    workflow_id: str | None = None
    text: str | None = None
    facts: tuple[tuple[str, str], ...] = ()
    submitted_after: datetime | None = None
    submitted_before: datetime | None = None
    oldest_first: bool = False
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What an Idempotency-Key was answered with: the digest of the body, the status and the answer's bytes."""

    key: str
    body_digest: str
    status: int
    answer: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One finished run, small and long-lived: what analytics and sizing read. MiB and seconds.

    `ended_as`: the state in which the job ended with it, None where the job goes on; `age_seconds`: from the job's
    submission to the end of the run; `failure`: what `fingerprint` stands for; `steps` that ended, with their seconds;
    `features`: of what it trained, where a prior could say what that needs; `sized`: where its resources came from
    (`SOURCES` of sizing).
    """

    job_id: str
    run_no: int
    attempt: int
    tenant: str
    template: str
    template_version: int
    algorithm: str | None
    dataset: str | None
    priority: Priority
    node_id: str | None
    asked: Vector
    peak_memory_mib: float | None
    cpu_seconds: float | None
    wait_seconds: float
    run_seconds: float
    outcome: str
    fingerprint: str | None
    finished_at: datetime
    ended_as: JobStatus | None = None
    age_seconds: float = 0.0
    failure: FailurePattern | None = None
    steps: tuple[tuple[str, float], ...] = ()
    features: Features | None = None
    sized: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """A stored file of a job. `kind`: artifact or checkpoint."""

    job_id: str
    run_no: int
    name: str
    kind: str
    size: int
    sha256: str
    content_type: str
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a run's log. `n` counts within the run from 1; `stream`: stdout, stderr or log."""

    n: int
    at: datetime
    step: str | None
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """A value of a metric at a step of a run (an epoch, a tree, a fold)."""

    name: str
    value: float
    n: int | None
    step: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Dataset:
    """A registered data set: a name for a file under the data root."""

    name: str
    path: str
    description: str = ""
    target_column: str | None = None
    registered_at: datetime | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """A waiting job in the index: its id, order key, and what it asks for."""

    job_id: str
    key: float
    demand: Demand


@dataclass(frozen=True, slots=True)
class BucketHead:
    """A non-empty bucket: its parts, how many wait in it, its first members in order."""

    bucket_id: str
    bucket: Bucket
    count: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, order=True)
class OrderPoint:
    """A point of the whole order: rank of the class (0 the most urgent), band, key, job."""

    rank: int
    band: int
    key: float
    job_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting job with its bucket. `band`: the one it counted in when it was read, by hand or its tenant's."""

    bucket_id: str
    bucket: Bucket
    member: Member
    band: int = 0

    @property
    def point(self) -> OrderPoint:
        """Where it stood; a listing goes on behind it."""
        return OrderPoint(RANK[self.bucket.priority], self.band, self.member.key, self.member.job_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job waits. `position`: 1 is next in the whole order; `class_position` within its class; `place` in its
    bucket."""

    position: int
    class_position: int
    place: int
    bucket_id: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Between what a job would stand at a place of a class, itself taken out: the keys of the jobs `before` and `after`
    it that are of `band`, the band it would get; None where there is none. `length`: jobs of the class, with it."""

    before: float | None
    after: float | None
    band: int
    length: int


@dataclass(frozen=True, slots=True)
class Board:
    """What the scheduler's leader last published: the forecast; per bucket why its members wait; the band of each
    tenant; the overdue that go before all others; the promises in force; and whether the queue is paused, so that
    nobody knows when anything starts."""

    at: datetime
    forecast: Forecast
    verdicts: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    bands: Mapping[str, int] = field(default_factory=dict)
    lane: tuple[str, ...] = ()
    promises: tuple[Promise, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many jobs are in a state with an effective class, and when the oldest of them was submitted."""

    status: JobStatus
    priority: Priority
    jobs: int
    oldest: datetime | None
    mean_wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a listing; `next_after` is the last id when more follow."""

    jobs: tuple[Job, ...]
    next_after: str | None
