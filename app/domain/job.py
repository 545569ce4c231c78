"""A job as a frozen value, and the records inside it.

`seq` is the one version: the number of history entries, the compare-and-set guard, the ETag, and the id of events on
the
job's own stream. Three counters stay apart: `run_no` (dispatches; the fencing token), `attempt` (failures that the
retry
policy bounds), `infra_losses` (lost workers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.domain.retry import RetryPolicy
from app.domain.states import TERMINAL, JobStatus
from app.domain.templates import Step


class DependencyType(StrEnum):
    """When a job with dependencies becomes eligible."""

    ALL_COMPLETE = "all_complete"
    ANY_COMPLETE = "any_complete"
    ALL_FINISHED = "all_finished"
    NONE_FAILED = "none_failed"
    ANY_FAILED = "any_failed"


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
    """Why a run ended without success. `fingerprint` groups failures that are alike."""

    code: str
    message: str
    step: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    fingerprint: str | None = None
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that ended. Memory in MiB, processor time in seconds."""

    attempt: int
    run_no: int
    node_id: str | None
    started_at: datetime | None
    finished_at: datetime
    outcome: str
    peak_memory_mib: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StepState:
    """Where a step of the present run is: PENDING, RUNNING, COMPLETED, FAILED or SKIPPED. `text`: what it last said."""

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


@dataclass(frozen=True, slots=True)
class Control:
    """What a user asked of a live run; the bell only says "look"."""

    action: str
    actor: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """The whole job. Durations in seconds, times UTC with milliseconds. `secrets`: parameters never to be shown."""

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
    limits: tuple[str, ...] = ()
    preemptible: bool = False
    resume: str | None = None
    secrets: tuple[str, ...] = ()
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
    paused_from: JobStatus | None = None
    control: Control | None = None
    error: JobError | None = None
    attempts: tuple[Attempt, ...] = ()
    result: Mapping[str, Json] | None = None
    progress: Progress | None = None
    checkpoint: str | None = None
    batch_id: str | None = None
    workflow_id: str | None = None
    step_id: str | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def deadline(self) -> datetime | None:
        """When the job stops waiting: `queue_deadline` seconds after submission."""
        return None if self.queue_deadline is None else self.submitted_at + timedelta(seconds=self.queue_deadline)

    @property
    def algorithm(self) -> str | None:
        value = self.parameters.get("algorithm")
        return value if isinstance(value, str) else None

    @property
    def dataset(self) -> str | None:
        value = self.parameters.get("dataset_name")
        return value if isinstance(value, str) else None
