"""Why a job waits or failed, and what changes would do."""

from fastapi import Request, Response

from app.api.answers import as_json, json_response, send
from app.api.deps import JobId, Key, Ports, State
from app.api.inquiry_views import explanation_view, supposed, what_if_view
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.inquiries import JobExplanation, WhatIfAnswer, WhatIfRequest
from app.operations.once import Answer, answer_once

explain_router = api_router(f"{PREFIX}/jobs", "jobs")
what_if_router = api_router(f"{PREFIX}/queue", "queue")


@explain_router.get("/{job_id}/explain", responses=problems(404), response_model=JobExplanation)
async def explain_job(request: Request, state: State, job_id: JobId) -> Response:
    """Why the job waits, the deciding reason first, each true of the present state and with what can be done about it;
    and changes that were tried on that state and have it start sooner. Why it failed, or what it does, when it does not
    wait.
    """
    found = await state.inquirer.explain(job_id)
    return json_response(explanation_view(found, f"{str(request.base_url).rstrip('/')}{PREFIX}"))


@what_if_router.post("/what-if", responses=problems(body=True), response_model=WhatIfAnswer)
async def what_if(body: WhatIfRequest, services: Ports, state: State, key: Key) -> Response:
    """Plan the present state as it is and with these changes, and answer the difference: who starts when, before and
    after. Nothing is changed.
    """

    async def do() -> Answer:
        changes = await supposed(services, body.changes)
        return Answer(200, as_json(what_if_view(await state.inquirer.what_if(changes))))

    return send(await answer_once(services, key, do))
