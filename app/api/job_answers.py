"""Whole jobs as answers: the bytes, their ETag, and the answer of a control under an Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from starlette.responses import Response

from app.api.answers import as_json, send
from app.api.views import controlled_view, job_view
from app.domain.job import Job
from app.operations.inspect import inspect
from app.operations.once import Answer, IdempotencyKey, answer_once
from app.services import Services


async def job_response(services: Services, job: Job) -> Response:
    """The whole job. The ETag is its `seq`."""
    [view] = await inspect(services, [job])
    return Response(as_json(job_view(view)), headers={"ETag": f'"{job.seq}"'}, media_type="application/json")


async def controlled_response(
    services: Services, key: IdempotencyKey | None, control: Callable[[], Awaitable[Job]]
) -> Response:
    """The whole job after a control with what happens to it, once for each key. The ETag belongs to what is answered,
    the first answer of a key included."""

    async def do() -> Answer:
        [view] = await inspect(services, [await control()])
        return Answer(200, as_json(controlled_view(view)))

    answer = await answer_once(services, key, do)
    response = send(answer)
    response.headers["ETag"] = f'"{orjson.loads(answer.body)["seq"]}"'
    return response
