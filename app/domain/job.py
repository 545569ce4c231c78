"""A job as a frozen value, and the records inside it.

`seq` is the one version: the number of history entries, the compare-and-set guard, the ETag, and the id of events on
the job's own stream. Three counters stay apart: `run_no` (dispatches; the fencing token), `attempt` (failures that the
retry policy bounds), `infra_losses` (workers that crashed under it).

A PAUSED job has a `node_id` exactly when it is frozen there; `paused_from` tells from which state it was paused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.durations import Duration
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.domain.retry import RetryPolicy
from app.domain.sizing.evidence import Sizing
from app.domain.sizing.kinship import name_in
from app.domain.states import ON_NODE, TERMINAL, JobStatus
from app.domain.templates import Step


class DependencyType(StrEnum):
    """When a job with dependencies becomes eligible."""

    ALL_COMPLETE = "all_complete"
    ANY_COMPLETE = "any_complete"
    ALL_FINISHED = "all_finished"
    NONE_FAILED = "none_failed"
    ANY_FAILED = "any_failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """Paths of the values (`parameters.hyperparameters.C`, `resources.memory_gb`) that a user gave: the request (`seq`
    1), or the manual retry that is this entry of the history."""

    seq: int
    paths: tuple[str, ...]


EXECUTORS = ("process", "inline")
INLINE_STEPS = frozenset({"noop", "sleep"})
"""Built-in steps that the inline executor takes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a job's history. `op` identifies the change that wrote it, so that a resent write is recognised."""

    seq: int
    source: JobStatus | None
    to: JobStatus
    reason: str
    at: datetime
    actor: str
    attempt: int
    run_no: int
    detail: str | None
    op: str


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a run ended without success. `fingerprint` groups failures that are alike (`app.domain.failures`); `frame`:
    `file:function` where an exception was raised."""

    code: str
    message: str
    step: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    fingerprint: str | None = None
    log_tail: tuple[str, ...] = ()
    exception_type: str | None = None
    frame: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that ended. Memory in MiB, processor time in seconds; `asked`: what it was allotted."""

    attempt: int
    run_no: int
    node_id: str | None
    started_at: datetime | None
    finished_at: datetime
    outcome: str
    peak_memory_mib: float | None = None
    cpu_seconds: float | None = None
    asked: Vector | None = None


@dataclass(frozen=True, slots=True)
class StepState:
    """Where a step of the present run is: PENDING, RUNNING, COMPLETED, FAILED, SKIPPED; or STOPPED: its run was told to
    end. `text`: what it last said."""

    step: str
    status: str
    started_at: datetime | None = None
    finished_at: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live run last said. `fraction` 0–1 over all steps, `text` like `64/100 trees`. Never touches `seq`."""

    run_no: int
    at: datetime
    fraction: float = 0.0
    step: str | None = None
    text: str | None = None
    steps: tuple[StepState, ...] = ()
    metrics: Mapping[str, Json] = field(default_factory=dict)


CONTROLS = ("cancel", "pause", "release", "resume", "preempt", "prune")
"""What may be asked of a live run: to end, to be frozen, to leave its node (checkpointed), to go on; by the
scheduler, to make way for more urgent work; and by a search, to stop early, since others promise more."""
SUSPECT_AFTER = 2
"""Workers that crashed under a job before it must run alone on a node."""


@dataclass(frozen=True, slots=True)
class Control:
    """What a user asked of a live run (`CONTROLS`); the bell only says "look"."""

    action: str
    actor: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """What a job of a batch carries of it: its place, from 0 on; how many jobs of the batch may be in the queue or
    further at once (None: any number); `in_order`: whether it follows only when all before it have ended."""

    index: int
    width: int | None = None
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """The whole job. Durations in seconds, times UTC with milliseconds. `secrets`: parameters that read `***`: their
    values are stored apart, under the id `sealed`; `asked`: what of it users gave; `attempt_base`: attempts used before
    the last manual retry, which count against the retry policy no more; `pin`: the band that a reorder put it in,
    `moved_to` the position of its class that was asked for; `prefer`: labels of nodes that it would like; `preempted`:
    how often it had to make way; `sizing`: why it got its resources at submit; `step_item`: of a workflow's step over
    many items the one that it is for."""

    id: str
    name: str
    tenant: str
    status: JobStatus
    seq: int
    template: str
    template_version: int
    executor: str
    steps: tuple[Step, ...]
    parameters: Mapping[str, Json]
    resources: Vector
    priority: Priority
    effective_priority: Priority
    order_key: float
    retry_policy: RetryPolicy
    timeout: float
    submitted_at: datetime
    history: tuple[Entry, ...]
    dependencies: tuple[str, ...] = ()
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    prefer: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    preemptible: bool = False
    resume: str | None = None
    secrets: tuple[str, ...] = ()
    sealed: str | None = None
    asked: tuple[Asked, ...] = ()
    start_after: datetime | None = None
    queue_deadline: float | None = None
    queued_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_at: datetime | None = None
    node_id: str | None = None
    gpu_indices: tuple[int, ...] = ()
    attempt: int = 0
    run_no: int = 0
    infra_losses: int = 0
    attempt_base: int = 0
    paused_from: JobStatus | None = None
    control: Control | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    result: Mapping[str, Json] | None = None
    progress: Progress | None = None
    checkpoint: str | None = None
    pin: int | None = None
    moved_to: int | None = None
    expected: Duration | None = None
    sizing: Sizing | None = None
    preempted: int = 0
    batch_id: str | None = None
    membership: Membership | None = None
    workflow_id: str | None = None
    step_id: str | None = None
    step_item: int | None = None

    @property
    def duration(self) -> Duration:
        """What a run should take, as it was expected when the job was submitted; else its time limit."""
        return self.expected or Duration(self.timeout, self.timeout, self.timeout, "timeout")

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def frozen(self) -> bool:
        """PAUSED with its processes stopped on its node, its allocation kept."""
        return self.status is JobStatus.PAUSED and self.node_id is not None

    @property
    def on_node(self) -> bool:
        """Whether it holds an allocation."""
        return self.status in ON_NODE or self.frozen

    @property
    def released(self) -> bool:
        """PAUSED after its run was ended for it: no node, perhaps a checkpoint."""
        return self.status is JobStatus.PAUSED and self.node_id is None and self.paused_from is JobStatus.RUNNING

    @property
    def held(self) -> bool:
        """PAUSED before it started, or between two runs: waiting, outside the queue."""
        return self.status is JobStatus.PAUSED and self.paused_from is not JobStatus.RUNNING

    @property
    def pruned(self) -> bool:
        """COMPLETED before its end, because its search wanted no more of it: what it had reported counts."""
        return self.status is JobStatus.COMPLETED and bool(self.attempts) and self.attempts[-1].outcome == "pruned"

    @property
    def suspect(self) -> bool:
        """Whether it may be what crashes workers: it runs alone on a node."""
        return self.infra_losses >= SUSPECT_AFTER

    @property
    def attempts_counted(self) -> int:
        """The present attempt as the retry policy counts it: from 1 since the last manual retry."""
        return self.attempt - self.attempt_base

    def wants(self, *actions: str) -> bool:
        """Whether a user has asked one of these of its live run."""
        return self.control is not None and self.control.action in actions

    @property
    def deadline(self) -> datetime | None:
        """When the job stops waiting: `queue_deadline` seconds after submission."""
        return None if self.queue_deadline is None else self.submitted_at + timedelta(seconds=self.queue_deadline)

    @property
    def algorithm(self) -> str | None:
        return name_in(self.parameters, "algorithm")

    @property
    def dataset(self) -> str | None:
        return name_in(self.parameters, "dataset_name")
