"""What every user's change of one job has in common: the version it was decided on, the bell of a live run, and the
words in which its answer says what happens now.

Controls are level-triggered: what is asked of a live run stands on the job, and its node makes the run agree with it.
So the words are a function of the job alone, and asking twice says the same twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import NotFound, PreconditionFailed
from app.domain.job import Job
from app.domain.ports import node_bell
from app.domain.states import JobStatus
from app.domain.transitions import Change, Stamp
from app.operations.change import Decide, transition
from app.services import Services


async def load(services: Services, job_id: str) -> Job:
    """The job. Raises NotFound."""
    job = await services.jobs.get(job_id)
    if job is None:
        raise NotFound("job", job_id)
    return job


async def control_job(
    services: Services, job_id: str, decide: Decide, actor: str, expected_seq: int | None = None
) -> Job:
    """The job after what `decide` wants. Its node, where something is asked of a live run, is told to look.

    Raises NotFound, PreconditionFailed when the job is not at `expected_seq`, StaleJob, and whatever `decide` raises.
    """

    def decide_on_version(job: Job, stamp: Stamp) -> Change | None:
        refuse_other_version(job, expected_seq)
        return decide(job, stamp)

    job = await transition(services, job_id, decide_on_version, actor)
    await ring_for(services, [job])
    return job


def refuse_other_version(job: Job, expected_seq: int | None) -> None:
    """Raises PreconditionFailed."""
    if expected_seq is not None and job.seq != expected_seq:
        raise PreconditionFailed(str(job.seq), str(expected_seq))


async def ring_for(services: Services, jobs: Sequence[Job]) -> None:
    """Tell the nodes of those jobs of which something is asked, or no more; the bell only says "look"."""
    asked = {job.node_id for job in jobs if job.node_id is not None and (job.control is not None or _taken_back(job))}
    for node_id in sorted(asked):
        await services.bells.ring(node_bell(node_id))


def _taken_back(job: Job) -> bool:
    return job.history[-1].reason == "control_requested"


def outlook(job: Job) -> str:
    """What a control has done to a job and what happens next, in a sentence or two for people."""
    if job.status is JobStatus.RUNNING or job.frozen:
        return _of_live(job)
    if job.status is JobStatus.PAUSED:
        return _of_paused(job)
    if job.status is JobStatus.QUEUED:
        where = "at the place of its first submission" if job.pin is None else "where it was put by hand"
        return f"It waits in its queue, {where}."
    if job.status is JobStatus.SUBMITTED:
        return "It waits for its dependencies or its start time, then it is queued."
    return f"It is {job.status}."


def _of_live(job: Job) -> str:
    asked = job.control.action if job.control else None
    if asked == "cancel":
        return f"{job.node_id} is told to end it; it is CANCELLED when nothing of it lives any more."
    if asked == "release":
        return f"{job.node_id} is told to end its run and free its resources. {_after_release(job, ended=False)}"
    if asked == "prune":
        return f"{job.node_id} is told to stop it early; what it has reported counts."
    if job.frozen and asked == "resume":
        return f"{job.node_id} is told to let it go on from where it stands."
    if job.frozen:
        return f"It is frozen where it stands on {job.node_id} and keeps its resources."
    if asked == "pause":
        return f"{job.node_id} is told to freeze it; it is PAUSED when its processes stand, and keeps its resources."
    return "It runs."


def _of_paused(job: Job) -> str:
    if job.released:
        return f"It is released: its resources are free. {_after_release(job, ended=True)}"
    return "It is held: out of its queue until it is resumed, then at its old place."


def _after_release(job: Job, *, ended: bool) -> str:
    if job.executor == "inline":
        return "It has no checkpoint: a resume starts it over."
    if job.checkpoint is not None:
        later = "" if ended else ", or from a newer one that the run leaves"
        return f"A resume goes on from its checkpoint {job.checkpoint}{later}."
    return (
        "It has no checkpoint: a resume starts it over."
        if ended
        else "It has no checkpoint yet: unless the run leaves one now, a resume starts it over."
    )
