"""Builders of jobs whose records agree with each other: each step is the real transition."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import batch_transitions, control_transitions, transitions
from app.domain.batches import Batch, BatchKind, BatchStatus, member_id, new_batch_id
from app.domain.builtin_templates import builtin_templates
from app.domain.ids import new_job_id
from app.domain.job import Job, JobError
from app.domain.new_job import build_job
from app.domain.specification import JobRequest, SubmitPolicy, specify
from app.domain.states import JobStatus
from app.domain.templates import Template
from app.domain.transitions import RunEnd, Stamp, apply

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
POLICY = SubmitPolicy(timedelta(hours=1), 3)


class JobBuilder:
    """`a_job().running().job`: every call moves the job along a real edge, a second later."""

    def __init__(self, job: Job, at: datetime = NOW) -> None:
        self.job, self.at, self._ops = job, at, 0

    def stamp(self, actor: str = "system") -> Stamp:
        self.at += timedelta(seconds=1)
        self._ops += 1
        return Stamp(self.at, actor, f"{self.job.id[-6:]}{self._ops}")

    def queued(self) -> JobBuilder:
        if self.job.status == "SUBMITTED":
            self.job = apply(self.job, transitions.become_eligible(self.job, self.stamp()))
        return self

    def scheduled(self, node: str = "node-1", gpus: tuple[int, ...] = ()) -> JobBuilder:
        self.queued()
        self.job = apply(self.job, transitions.place(self.job, node, gpus, self.stamp()))
        return self

    def running(self, node: str = "node-1") -> JobBuilder:
        self.scheduled(node)
        self.job = apply(self.job, transitions.start(self.job, self.stamp()))
        return self

    def completed(self, result: dict[str, Any] | None = None) -> JobBuilder:
        self.running()
        end = RunEnd(result=result or {"metrics": {}, "steps": {}})
        self.job = apply(self.job, transitions.complete(self.job, end, self.stamp()))
        return self

    def failed(self, reason: str = "error") -> JobBuilder:
        self.running()
        end = RunEnd(error=JobError(reason, "it broke"))
        self.job = apply(self.job, transitions.fail(self.job, reason, end, self.stamp()))
        return self

    def retrying(self, reason: str = "error", delay: float = 10) -> JobBuilder:
        self.running()
        end = RunEnd(error=JobError(reason, "it broke"))
        later = timedelta(seconds=delay)
        self.job = apply(self.job, transitions.retry_later(self.job, reason, end, later, self.stamp()))
        return self

    def held(self) -> JobBuilder:
        self.job = apply(self.job, control_transitions.hold(self.job, self.stamp("ann"), None))
        return self

    def frozen(self) -> JobBuilder:
        self.running()
        self.job = apply(self.job, control_transitions.freeze(self.job, self.stamp("ann"), None))
        return self

    def released(self, checkpoint: str | None = None) -> JobBuilder:
        self.running()
        end = RunEnd(checkpoint=checkpoint)
        self.job = apply(self.job, control_transitions.release(self.job, end, self.stamp(), None))
        return self

    def but(self, **fields: Any) -> JobBuilder:
        self.job = replace(self.job, **fields)
        return self


def a_batch(size: int = 3, *, now: datetime = NOW, **fields: Any) -> Batch:
    """A fresh batch, as a submit builds it."""
    number = next(_entropy)
    batch = Batch(
        id=new_batch_id(now, number.to_bytes(7, "big")),
        kind=BatchKind.BATCH,
        name="some",
        tenant="default",
        status=BatchStatus.RUNNING,
        seq=1,
        size=size,
        submitted_at=now,
        history=(batch_transitions.first_entry(Stamp(now, "tester", f"op{number}")),),
    )
    return replace(batch, **fields)


def jobs_of(batch: Batch, *statuses: str) -> list[Job]:
    """Its jobs in order, QUEUED unless their states are said."""
    given = statuses or ("QUEUED",) * batch.size
    made = [a_job(now=batch.submitted_at, eligible=status != "SUBMITTED") for status in given]
    return [
        job.but(
            id=member_id(batch.id, n),
            status=JobStatus(status),
            batch_id=batch.id,
            membership=batch.membership(n),
            order_key=job.job.order_key + n / 16,
        ).job
        for n, (job, status) in enumerate(zip(made, given, strict=True))
    ]


_entropy = iter(range(1, 10**9))


def a_job(
    template: str | Template = "noop",
    *,
    eligible: bool = True,
    now: datetime = NOW,
    name: str | None = None,
    **request: Any,
) -> JobBuilder:
    """A fresh job of a built-in template, as submit builds it."""
    found = builtin_templates()[template] if isinstance(template, str) else template
    specification = specify(JobRequest(found.id, name=name, **request), found, POLICY)
    number = next(_entropy)
    job_id = new_job_id(now, number.to_bytes(10, "big"))
    stamp = Stamp(now, "tester", f"op{number}")
    job = build_job(specification, job_id=job_id, name=specification.base_name, eligible=eligible, stamp=stamp)
    return JobBuilder(job, now)
