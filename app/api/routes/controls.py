"""What users do to jobs that exist: cancel, pause, resume, retry, another priority. All of it may be sent again."""

from typing import Annotated

from fastapi import Query, Response

from app.api.answers import as_json, send
from app.api.deps import ANONYMOUS, ExpectedSeq, JobId, Key, Ports
from app.api.job_answers import controlled_response
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.controls import (
    JobCancel,
    JobControlled,
    JobDependencies,
    JobPause,
    JobPriority,
    JobResume,
    JobRetry,
    JobsCancel,
    JobsCancelled,
)
from app.api.views import cancelled_view
from app.operations.cancel import cancel
from app.operations.cancel_matching import cancel_matching
from app.operations.dependencies import add_dependencies
from app.operations.once import Answer, answer_once
from app.operations.pause import pause
from app.operations.priority import set_priority
from app.operations.resume import resume
from app.operations.retry import retry

router = api_router(f"{PREFIX}/jobs", "jobs")


@router.delete("/{job_id}", responses=problems(404, 409, 412), response_model=JobControlled)
async def delete_job(
    services: Ports,
    job_id: JobId,
    expected: ExpectedSeq,
    reason: Annotated[str | None, Query(max_length=500, description="Why; it stands in the history.")] = None,
) -> Response:
    """Cancel the job, as POST …/cancel does. The job itself and its history stay."""
    return await controlled_response(services, None, lambda: cancel(services, job_id, ANONYMOUS, reason, expected))


@router.post("/cancel", responses=problems(body=True), response_model=JobsCancelled)
async def cancel_jobs(body: JobsCancel, services: Ports, key: Key) -> Response:
    """Cancel every job that matches all filters given. Jobs submitted after the call began are not touched, and what
    cannot be cancelled is counted. Sent again it goes on with those that are left.
    """
    query = body.to_query()

    async def do() -> Answer:
        done = await cancel_matching(services, query, ANONYMOUS, body.reason, dry_run=body.dry_run)
        return Answer(200, as_json(cancelled_view(done, dry_run=body.dry_run)))

    return send(await answer_once(services, key, do))


@router.post("/{job_id}/cancel", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def cancel_job(
    services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq, body: JobCancel | None = None
) -> Response:
    """Cancel the job. A waiting one is CANCELLED at once; of a running one the node is told, and it is CANCELLED when
    nothing of it lives any more. Cancelling twice is cancelling once.
    """
    reason = body.reason if body else None
    return await controlled_response(services, key, lambda: cancel(services, job_id, ANONYMOUS, reason, expected))


@router.post("/{job_id}/pause", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def pause_job(
    services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq, body: JobPause | None = None
) -> Response:
    """Pause the job. A waiting one is held at once, outside its queue; of a running one the node is told, and it is
    PAUSED when all its processes stand. It keeps its resources, unless `release` gives them back: then the run ends, a
    resume queues the job, and it goes on from its checkpoint, or starts over without one. `message` says which.
    """
    asked = body or JobPause()
    return await controlled_response(
        services,
        key,
        lambda: pause(services, job_id, ANONYMOUS, asked.reason, release=asked.release, expected_seq=expected),
    )


@router.post("/{job_id}/resume", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def resume_job(
    services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq, body: JobResume | None = None
) -> Response:
    """Resume a paused job: a frozen one goes on where it stands, a held or released one waits again at its old place. A
    pause that has not happened yet is taken back. Resuming twice is resuming once.
    """
    reason = body.reason if body else None
    return await controlled_response(services, key, lambda: resume(services, job_id, ANONYMOUS, reason, expected))


@router.post("/{job_id}/retry", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def retry_job(
    services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq, body: JobRetry | None = None
) -> Response:
    """Have another attempt at a job that ended FAILED, TIMEOUT or CANCELLED. What is changed is checked as a submit is,
    by the version of the template that the job was made from; when it is refused nothing is changed. The history stays,
    the job's own retries count anew, and jobs that failed because of it are not revived.
    """
    asked = body or JobRetry()
    changes = asked.to_changes()
    return await controlled_response(
        services, key, lambda: retry(services, job_id, ANONYMOUS, asked.reason, changes, expected, key)
    )


@router.post("/{job_id}/dependencies", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def add_job_dependencies(
    body: JobDependencies, services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq
) -> Response:
    """Have the job wait for others too. Allowed until it is scheduled; one that is queued leaves the queue until its
    dependencies are met. The request is refused whole for an unknown job (`unknown_job`), a cycle at any distance
    (`cycle`, with its way), or a job that has ended so that this one could never run (`dependency_failed`). What it
    names already stays, and may be named again.
    """
    asked = (body.depends_on, body.dependency_type)
    return await controlled_response(
        services, key, lambda: add_dependencies(services, job_id, *asked, ANONYMOUS, body.reason, expected)
    )


@router.put("/{job_id}/priority", responses=problems(404, 409, 412, body=True), response_model=JobControlled)
async def change_job_priority(
    body: JobPriority, services: Ports, job_id: JobId, key: Key, expected: ExpectedSeq
) -> Response:
    """Ask another class for the job. In it, it stands by its age: the order of its submission stays, a place given by
    hand does not. What waits for the job may lend it a more urgent class, shown as `effective_priority`; what the job
    itself waits for is considered in its class, too.
    """
    return await controlled_response(
        services,
        key,
        lambda: set_priority(services, job_id, body.priority, ANONYMOUS, body.reason, expected),
    )
