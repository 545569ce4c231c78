"""Resume a paused job: where it stands, or through the queue when it holds no node. Resuming twice is resuming once."""

from __future__ import annotations

from app.domain.control_decisions import refuse_while_cancelled
from app.domain.control_transitions import request_control, resume_waiting
from app.domain.dependencies import RULES, Hopeless, Verdict
from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.states import MANUAL, JobStatus, allowed_from
from app.domain.transitions import Change, Stamp
from app.operations.change import look_again
from app.operations.control import control_job, load
from app.operations.readiness import is_eligible, verdicts_on
from app.services import Services

PAUSES = frozenset({"hold", "paused", "released"})
ASKED = "control_requested"
RESUMES = frozenset({"resumed", "resume_eligible", "resume_not_eligible"})
INTO_WAITING = (JobStatus.QUEUED, JobStatus.SUBMITTED)


async def resume(
    services: Services, job_id: str, actor: str, reason: str | None, expected_seq: int | None = None
) -> Job:
    """The job after it: QUEUED or SUBMITTED when it was held or released, else with the resume on its way to the node.

    A pause that its node has not carried out yet is taken back. A job that was resumed already and has not been paused
    since stays as it is, so that a resume may be sent again; one that never was paused, or has ended, raises
    InvalidTransition, since whoever resumes it is mistaken about it. Raises also NotFound, PreconditionFailed.
    """
    [verdict] = await verdicts_on(services, [await load(services, job_id)])

    def decide(job: Job, stamp: Stamp) -> Change | None:
        return decide_resume(job, stamp, reason, verdict)

    return await look_again(services, await control_job(services, job_id, decide, actor, expected_seq))


def decide_resume(job: Job, stamp: Stamp, reason: str | None, verdict: Verdict) -> Change | None:
    """What a resume means for a job in this state, `verdict` being that of its parents; None when it is so already."""
    refuse_while_cancelled(job, JobStatus.RUNNING)
    if job.frozen or job.wants("pause", "release"):
        return None if job.wants("resume") else request_control(job, "resume", stamp, reason)
    if job.status is JobStatus.PAUSED:
        refuse_if_hopeless(job, verdict)
        return resume_waiting(job, stamp, reason, eligible=is_eligible(job, verdict, stamp.at))
    if not job.terminal and _was_resumed(job):
        return None
    because = "it has ended; retry it instead" if job.terminal else "it is not paused"
    raise InvalidTransition(job.id, job.status, JobStatus.RUNNING, allowed_from(job.status), because)


def refuse_if_hopeless(job: Job, verdict: Verdict) -> None:
    """Raises InvalidTransition: back in the queue the job would fail at once."""
    if isinstance(verdict, Hopeless):
        broken = RULES[job.dependency_type].broken
        because = f"its dependency {verdict.cause} {broken}; retry that one first"
        allowed = tuple(s for s in allowed_from(job.status) if s not in (*INTO_WAITING, JobStatus.RUNNING))
        raise InvalidTransition(job.id, job.status, JobStatus.QUEUED, allowed, because)


def _was_resumed(job: Job) -> bool:
    """Whether of all pauses and resumes the last was a resume, or took back a pause: what is asked of a run and stands
    no more was carried out, which says so, or taken back."""
    last = next((e.reason for e in reversed(job.history) if e.reason in PAUSES | RESUMES | MANUAL | {ASKED}), None)
    return last in RESUMES or (last == ASKED and job.control is None)
