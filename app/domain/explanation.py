"""The whole answer to "why": of a waiting job, of one that failed, of one that runs."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.explain import Fact, Reason
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.timestamps import rfc3339
from app.domain.what_if import Counterfactual


@dataclass(frozen=True, slots=True)
class Explanation:
    """Reasons, the deciding one first, and what would have the job start sooner."""

    job: Job
    reasons: tuple[Reason, ...]
    changes: tuple[Counterfactual, ...] = ()


def reasons_of_the_past(job: Job) -> tuple[Reason, ...]:
    """Of a job that does not wait: why it failed, or what it does, or how it ended."""
    if job.status in {JobStatus.FAILED, JobStatus.TIMEOUT}:
        return (_failure(job),)
    if job.status in {JobStatus.SCHEDULED, JobStatus.RUNNING}:
        return (_present_run(job),)
    last = job.history[-1]
    how = f" by {last.actor}" if job.status is JobStatus.CANCELLED else ""
    why = f": {last.detail}" if last.detail else ""
    return (Reason(job.status.lower(), f"{job.status.lower()}{how}{why}", {"at": rfc3339(last.at)}),)


def _failure(job: Job) -> Reason:
    """What its error says. A job that no node could hold has a code of its own, since it waits no more."""
    error, last = job.error, job.history[-1]
    if error is None:
        return Reason(last.reason, last.detail or last.reason)
    facts: dict[str, Fact] = {"attempt": job.attempt, "max_attempts": job.retry_policy.max_attempts + job.attempt_base}
    known = {"step": error.step, "exit_code": error.exit_code, "signal": error.signal, "fingerprint": error.fingerprint}
    facts |= {name: value for name, value in known.items() if value is not None}
    if last.reason == "out_of_memory":
        facts["memory_gb"] = job.resources.units()["memory_gb"]
    if last.reason == "dependency_failed" and last.detail:
        facts["cause"] = last.detail
    where = f"step {error.step}: " if error.step else ""
    return Reason(FAILED_AS.get(last.reason, last.reason), f"{where}{error.message}", facts)


FAILED_AS = {"unsatisfiable": "failed_unsatisfiable"}
"""Reasons whose name means something else while a job waits."""


def _present_run(job: Job) -> Reason:
    facts: dict[str, Fact] = {"run_no": job.run_no, "attempt": job.attempt}
    if job.node_id is not None:
        facts["node"] = job.node_id
    if job.status is JobStatus.SCHEDULED:
        return Reason("scheduled", f"has its place on {job.node_id}, which is about to start it", facts)
    step = job.progress.step if job.progress else None
    done = job.progress.fraction if job.progress else 0.0
    facts |= {"progress": round(done, 4)} | ({"step": step} if step else {})
    what = f"step {step}, " if step else ""
    return Reason("running", f"runs on {job.node_id}: {what}{done:.0%} done", facts)
