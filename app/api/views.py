"""Jobs, nodes, templates and data sets as they are answered. Every field is always there, null where it is unknown.

Written by hand because lists of hundreds go through here; `tests/unit/api` holds the results to the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.api.history_views import job_entry_view
from app.api.sizing_views import attempt_view, sizing_view
from app.domain.durations import Duration
from app.domain.explain import Reason
from app.domain.job import Control, Job, JobError, StepState
from app.domain.json import Json
from app.domain.priority import moment as at
from app.domain.promises import Promise
from app.domain.records import ArtifactInfo, LogLine, MetricPoint
from app.domain.retry import RetryPolicy
from app.domain.secrets import without_secrets
from app.domain.sizing.evidence import REQUEST
from app.domain.specification import SIZED, Specification
from app.domain.states import JobStatus
from app.domain.timestamps import optional_rfc3339 as moment
from app.domain.timestamps import rfc3339
from app.operations.cancel_matching import Cancelled
from app.operations.control import outlook
from app.operations.inspect import JobView
from app.operations.submit import Submitted

View = dict[str, Any]


def submitted_view(submitted: Submitted) -> View:
    """The answer to a submit: the shape of the contract, and the name."""
    job, estimate = submitted.job, submitted.estimate
    return {
        "job_id": job.id,
        "status": job.status,
        "message": "Job submitted successfully",
        "estimated_start_time": moment(estimate.start) if estimate else None,
        "queue_position": submitted.position,
        "name": job.name,
    }


def job_summary(view: JobView) -> View:
    """A job as it stands in a listing."""
    job, place, estimate = view.job, view.place, view.estimate
    reasons = [reason_view(r) for r in view.reasons]
    return {
        **_identity(job),
        **_request(job),
        **_life(job),
        "metrics": _metrics(job),
        "error": None if job.error is None else _error(job.error),
        "wait_reason": reasons[0] if reasons else None,
        "wait_reasons": reasons,
        "queue_position": place.position if place else None,
        "reserved": None if view.promise is None else _promise(view.promise),
        "estimated_start_time": moment(estimate.start) if estimate else None,
        "estimated_start_low": moment(estimate.low) if estimate else None,
        "estimated_start_high": moment(estimate.high) if estimate else None,
    }


def job_view(view: JobView) -> View:
    """The whole job."""
    job = view.job
    return {
        **job_summary(view),
        "parameters": without_secrets(job.parameters, job.secrets),
        "sizing": sizing_view(job.sizing, job.duration),
        "steps": [_step(s) for s in _steps(job)],
        "attempts": [attempt_view(a) for a in job.attempts],
        "result": job.result,
        "history": [job_entry_view(e) for e in job.history],
    }


def controlled_view(view: JobView) -> View:
    """The whole job after a control, with what happens to it."""
    return {**job_view(view), "message": outlook(view.job)}


def cancelled_view(done: Cancelled, *, dry_run: bool) -> View:
    """What became of the jobs that a filter matched."""
    return {**asdict(done), "dry_run": dry_run}


def _identity(job: Job) -> View:
    return {
        "job_id": job.id,
        "name": job.name,
        "tenant": job.tenant,
        "status": job.status,
        "seq": job.seq,
        "template": job.template,
        "template_version": job.template_version,
        "batch_id": job.batch_id,
        "workflow_id": job.workflow_id,
        "step_id": job.step_id,
        "step_item": job.step_item,
        "tags": job.tags,
        "metadata": job.metadata,
    }


def _request(job: Job) -> View:
    return {
        "resources": job.resources.units(),
        "priority": job.priority,
        "effective_priority": job.effective_priority,
        "dependencies": job.dependencies,
        "dependency_type": job.dependency_type,
        "retry_policy": retry_policy_view(job.retry_policy),
        "timeout": job.timeout,
        "start_after": moment(job.start_after),
        "queue_deadline": job.queue_deadline,
        "node_selector": job.node_selector,
        "prefer": job.prefer,
        "preemptible": job.preemptible,
        "executor": job.executor,
        "limits": job.limits,
        "expected_duration": duration_view(job.duration),
    }


def _life(job: Job) -> View:
    done = job.status is JobStatus.COMPLETED and not job.pruned
    live = job.progress if job.status in {JobStatus.RUNNING, JobStatus.PAUSED} else None
    return {
        "submitted_at": rfc3339(job.submitted_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "node_id": job.node_id,
        "attempt": job.attempt,
        "max_attempts": job.retry_policy.max_attempts + job.attempt_base,
        "run_no": job.run_no,
        "infra_losses": job.infra_losses,
        "paused_from": job.paused_from,
        "control": None if job.control is None else _control(job.control),
        "progress": 1.0 if done else job.progress.fraction if job.progress else 0.0,
        "current_step": live.step if live else None,
    }


def _promise(promise: Promise) -> View:
    return {
        "node_id": promise.node_id,
        "by": rfc3339(at(promise.by)),
        "limit": rfc3339(at(promise.limit)),
        "since": rfc3339(at(promise.since)),
    }


def duration_view(expected: Duration) -> View:
    """How long a run should take, and how that is known."""
    return asdict(expected)


def _control(control: Control) -> View:
    return {
        "action": control.action,
        "actor": control.actor,
        "reason": control.reason,
        "at": rfc3339(control.at),
    }


def _metrics(job: Job) -> Mapping[str, Json]:
    """The last value of each metric: of the result when there is one, else of the run that last reported."""
    if job.result is not None:
        return job.result.get("metrics") or {}
    return job.progress.metrics if job.progress else {}


def _steps(job: Job) -> Sequence[StepState]:
    if job.progress and job.progress.steps:
        return job.progress.steps
    return [StepState(step.step, "PENDING") for step in job.steps]


def _step(step: StepState) -> View:
    started, finished = moment(step.started_at), moment(step.finished_at)
    return {
        "step": step.step,
        "status": step.status,
        "started_at": started,
        "finished_at": finished,
        "text": step.text,
    }


def _error(error: JobError) -> View:
    return {
        "code": error.code,
        "message": error.message,
        "step": error.step,
        "exit_code": error.exit_code,
        "signal": error.signal,
        "fingerprint": error.fingerprint,
        "log_tail": error.log_tail,
        "exception_type": error.exception_type,
        "frame": error.frame,
    }


def reason_view(reason: Reason) -> View:
    """Why something waits."""
    return {"code": reason.code, "summary": reason.summary, "facts": reason.facts}


def retry_policy_view(policy: RetryPolicy) -> View:
    """The policy in force, defaults filled in."""
    return {
        "max_attempts": policy.max_attempts,
        "retry_delay": policy.retry_delay,
        "backoff": policy.backoff,
        "max_delay": policy.max_delay,
        "jitter": policy.jitter,
        "retry_on": policy.retry_on,
        "memory_growth": policy.memory_growth,
    }


def plan_view(specification: Specification) -> View:
    """What a submit would store."""
    request, template = specification.request, specification.template
    units = specification.resources.units()
    return {
        "name": specification.base_name,
        "template": template.id,
        "template_version": template.version,
        "parameters": without_secrets(specification.parameters, template.schema.secrets),
        "resources": units,
        "resources_from": {dimension: _source(specification, dimension) for dimension in units},
        "executor": specification.executor,
        "execution_steps": [{"step": s.step, "timeout": s.timeout} for s in specification.steps],
        "retry_policy": retry_policy_view(specification.retry_policy),
        "timeout": specification.timeout,
        "priority": request.priority,
        "dependencies": request.dependencies,
    }


def _source(specification: Specification, dimension: str) -> str:
    """Where its amount of a resource comes from."""
    if dimension in (specification.request.resources or {}):
        return "request"
    sizing = specification.sizing
    if sizing is not None and dimension in SIZED and sizing.source != REQUEST:
        return sizing.source
    return "template" if dimension in specification.template.resource_requirements else "default"


def log_line_view(line: LogLine) -> View:
    """A line of a log."""
    return {"n": line.n, "at": rfc3339(line.at), "step": line.step, "stream": line.stream, "text": line.text}


def metric_point_view(point: MetricPoint) -> View:
    """A point of a metric's series."""
    return {"n": point.n, "value": point.value, "step": point.step, "at": rfc3339(point.at)}


def artifact_view(info: ArtifactInfo) -> View:
    """A stored file."""
    return {
        "name": info.name,
        "run_no": info.run_no,
        "size": info.size,
        "sha256": info.sha256,
        "content_type": info.content_type,
        "stored_at": rfc3339(info.stored_at),
    }
