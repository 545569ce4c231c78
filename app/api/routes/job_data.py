"""What a job's runs leave behind, and its event stream."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api.answers import json_response
from app.api.deps import JobId, LastEventId, Ports, State, TimeoutSeconds
from app.api.downsample import downsample
from app.api.methods import ONLY_HEAD
from app.api.problems import STREAM, problems
from app.api.ranges import is_known, wanted_part
from app.api.routes.events import EventTypes, check_types
from app.api.routing import PREFIX, api_router
from app.api.schemas.job_data import ArtifactList, JobLogs, JobMetricSeries
from app.api.sse import EventStream, LogFollower, job_events, job_log_lines
from app.api.views import artifact_view, log_line_view, metric_point_view
from app.domain.errors import NotFound
from app.domain.job import Job
from app.domain.nearest import nearest_name
from app.domain.records import ArtifactInfo
from app.operations.control import load
from app.services import Services

router = api_router(f"{PREFIX}/jobs/{{job_id}}", "jobs")
BYTES = {"schema": {"type": "string", "format": "binary"}}
BINARY = {"application/octet-stream": BYTES, "*/*": BYTES}
"""Of any type, also such as `application/json`; the first is the one that generated clients take as bytes."""
ARTIFACT: dict[int | str, dict[str, Any]] = {
    200: {"content": BINARY},
    206: {"content": BINARY, "description": "The part that `Range` names; `Content-Range` says which."},
    304: {"description": "You hold it."},
}
REPLACED = 5
"""How often an artifact may be replaced between being found and being opened."""
RunNo = Annotated[int | None, Query(ge=1, le=2**31, description="A run; without it the one that ran last.")]


def _run_shown(job: Job) -> int:
    """The run that a reader wants who names none: the live one, else the last that really ran."""
    ran = job.attempts[-1].run_no if job.attempts else 0
    live = job.started_at is not None and job.run_no > ran
    return job.run_no if live or not ran else ran


@router.get("/logs", responses={**STREAM, **problems(404)}, response_model=JobLogs)
async def get_job_logs(
    state: State,
    job_id: JobId,
    run_no: RunNo = None,
    step: Annotated[str | None, Query(max_length=63, description="Lines of this step only.")] = None,
    after: Annotated[int, Query(ge=0, le=2**31, description="Lines whose `n` is greater.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    follow: Annotated[bool, Query(description="Stream `log.line` events until the job is terminal.")] = False,
    timeout_seconds: TimeoutSeconds = None,
) -> Response:
    """Stored log lines of a run, ascending; with `follow=true` a stream of what is stored and what is still to come.

    The stream goes on over later runs of the job. It carries no ids: resume it with `run_no` and `after`.
    """
    job = await load(state.services, job_id)
    run = run_no or _run_shown(job)
    if follow:
        await state.hub.opened()
        follower = LogFollower(state, job_id, run, after, lambda of: step is None or of == step)
        return EventStream(job_log_lines(state, follower, job_id, timeout_seconds))
    lines = await state.services.logs.read(job_id, run, after=after, step=step, limit=limit)
    following = lines[-1].n if lines else after or None
    views = [log_line_view(line) for line in lines]
    return json_response({"job_id": job_id, "run_no": run, "lines": views, "next_after": following})


@router.get("/metrics", responses=problems(404), response_model=JobMetricSeries)
async def get_job_metrics(
    services: Ports,
    job_id: JobId,
    names: Annotated[str | None, Query(max_length=1_000, description="Separated by commas; all by default.")] = None,
    max_points: Annotated[int, Query(ge=2, le=10_000, description="Most points of a series.")] = 500,
    run_no: RunNo = None,
) -> Response:
    """Metric series of a run, thinned out so that the extremes of each stretch stay."""
    job = await load(services, job_id)
    run = run_no or _run_shown(job)
    wanted = [name for name in (names or "").split(",") if name]
    series = await services.metrics.read(job_id, wanted, run)
    views = {name: [metric_point_view(p) for p in downsample(points, max_points)] for name, points in series.items()}
    return json_response({"job_id": job_id, "run_no": run, "metrics": views})


@router.get("/artifacts", responses=problems(404), response_model=ArtifactList)
async def list_job_artifacts(services: Ports, job_id: JobId) -> Response:
    """What the runs of the job stored; of each name the newest."""
    await load(services, job_id)
    return json_response({"artifacts": [artifact_view(info) for info in await services.artifacts.list(job_id)]})


@router.get(
    "/artifacts/{name:path}",
    responses={**ARTIFACT, **problems(404, 416)},
    response_class=StreamingResponse,
)
async def get_job_artifact(
    request: Request,
    services: Ports,
    job_id: JobId,
    name: Annotated[str, Path(description="Name of the artifact.", max_length=500)],
    part: Annotated[str | None, Header(alias="Range", description="One part, such as `bytes=1000-`.")] = None,
    if_range: Annotated[
        str | None, Header(alias="If-Range", description="The part only if this is still the ETag, else all.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="ETags that you hold: 304 if it is one of them.")
    ] = None,
) -> Response:
    """The bytes of an artifact, with its own content type; the ETag is its SHA-256. Always a download, never a page.

    A download that was cut is resumed with `Range` (`curl -C -`), safely so with `If-Range`: a later run may have
    stored other bytes under the name. Several parts at once are not served: the answer is the whole.
    """
    for _ in range(REPLACED):
        info = await _artifact(services, job_id, name)
        etag = f'"{info.sha256}"'
        if is_known(etag, if_none_match):
            return Response(status_code=304, headers={"ETag": etag})
        wanted = wanted_part(part, if_range, etag, info.size)
        start, stop = wanted or (0, info.size)
        headers = {**_download(name), "ETag": etag, "Accept-Ranges": "bytes", "Content-Length": str(stop - start)}
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{info.size}"
        with suppress(NotFound):
            content = services.artifacts.read(info, start, stop)
            if ONLY_HEAD not in request.scope:
                content = await _begun(content)
            return StreamingResponse(content, 206 if wanted else 200, headers, info.content_type)
    raise NotFound("artifact", name[:80])


async def _artifact(services: Services, job_id: str, name: str) -> ArtifactInfo:
    """The newest of that name. Raises NotFound with the nearest name."""
    info = await services.artifacts.get(job_id, name)
    if info is None:
        await load(services, job_id)
        known = [each.name for each in await services.artifacts.list(job_id)]
        raise NotFound("artifact", name[:80], nearest_name(name, known))
    return info


async def _begun(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, once its first block is there: so that what the headers promise is what is sent. Raises NotFound."""
    first = await anext(content, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for block in content:
            yield block

    return whole()


def _download(name: str) -> dict[str, str]:
    """Headers by which no browser shows it as a page of this origin."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }


@router.get(
    "/events",
    status_code=200,
    responses={**STREAM, 204: {"description": "It ended, and nothing followed."}, **problems(404)},
    response_class=EventStream,
)
async def stream_job_events(
    state: State,
    job_id: JobId,
    last_event_id: LastEventId,
    types: EventTypes = None,
    timeout_seconds: TimeoutSeconds = None,
) -> Response:
    """Everything that happens to one job, from its present state on, until it is terminal: then the stream ends.

    The `id` of a `job.state` is its `seq`; a client that comes back with it gets exactly what followed, filled from the
    history, so this stream has no gaps and never says `resync`. Coming back after the terminal event answers 204, on
    which an EventSource stops. Try it with `curl -N`; Swagger UI shows nothing until the stream ends, so give it
    `timeout_seconds=10`. A comment comes every 15 s.
    """
    wanted = check_types(types)
    job = await load(state.services, job_id)
    last_seq = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else None
    if job.terminal and last_seq == job.seq:
        return Response(status_code=204)
    await state.hub.opened()
    return EventStream(job_events(state, job_id, last_seq, wanted, timeout_seconds))
