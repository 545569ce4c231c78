"""The OpenAPI 3.1 document, made by FastAPI and finished here, so that generated clients are pleasant.

What is added: problems as shared responses, parameters and headers shared by name, examples, event models, and
`x-event-stream` on streams. What is removed: FastAPI's own validation error, which never occurs, and titles of fields.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.examples import ANSWERS, PROBLEM, REQUESTS
from app.api.problem_codes import CODES
from app.api.problems import PROBLEM_NAMES
from app.api.schemas.batches import BatchCreate, SweepBatch
from app.api.schemas.events import EVENT_MODELS, Problem
from app.api.schemas.job_requests import JobCreate
from app.api.stream_examples import STREAMS

Document = dict[str, Any]
REF = "#/components/schemas/{model}"
DESCRIPTION = (
    "Takes machine-learning jobs over HTTP, decides when and where each runs, and tells everyone who listens what "
    "happened.\n\nErrors are `application/problem+json` with a stable `code`. Lists page by `cursor`. Every POST takes "
    "an `Idempotency-Key`. Unknown fields and query parameters are refused. HEAD is answered wherever GET is."
)
TAGS = (
    ("jobs", "Submit, follow and control jobs; their logs, metrics and artifacts."),
    ("batches", "Many jobs as one thing."),
    ("workflows", "Graphs of jobs: define, run, follow and control them; run them on a schedule."),
    ("templates", "What jobs are made from."),
    ("datasets", "Names for data."),
    ("queue", "Who waits, where, and why."),
    ("analytics", "What the service has measured of itself."),
    ("nodes", "Where jobs run, and what is left; drain them."),
    ("events", "Everything that happens, pushed."),
    ("system", "The process itself."),
)
METHODS = ("get", "post", "put", "patch", "delete")
SHARED_PARAMETERS = {
    "idempotency-key": "IdempotencyKey",
    "if-match": "IfMatch",
    "last-event-id": "LastEventId",
    "last_event_id": "LastEventIdQuery",
    "limit": "Limit",
    "cursor": "Cursor",
    "timeout_seconds": "TimeoutSeconds",
    "job_id": "JobId",
    "batch_id": "BatchId",
    "template_id": "TemplateId",
    "node_id": "NodeId",
    "workflow_id": "WorkflowId",
    "step_id": "StepId",
    "run_no": "RunNo",
}
HEADER_NAMES = {"idempotency-key": "Idempotency-Key", "if-match": "If-Match", "last-event-id": "Last-Event-ID"}
HEADERS = {
    "ETag": "The version of the object: send it as If-Match when you change it.",
    "Retry-After": "Seconds after which to try again.",
    "Idempotent-Replayed": "`true` when this is the answer that was given before under the same key.",
    "X-Request-ID": "Stands on every log line of this request.",
}
CONTROLS = (
    *("delete_job", "cancel_job", "pause_job", "resume_job", "retry_job", "change_job_priority"),
    *("add_job_dependencies", "delete_batch", "cancel_batch", "pause_batch", "resume_batch", "retry_batch"),
)
TEMPLATES = ("get_template", "revise_template", "archive_template")
WORKFLOW_CONTROLS = (
    *("create_workflow", "run_workflow", "start_workflow", "cancel_workflow", "pause_workflow", "resume_workflow"),
    *("retry_workflow", "rerun_workflow", "approve_workflow_step", "reject_workflow_step"),
)
TAGGED = (
    *("get_job", "get_batch", "get_workflow", *CONTROLS, *WORKFLOW_CONTROLS),
    *("reorder_queue", *TEMPLATES, "get_job_artifact"),
)


def install(app: FastAPI) -> None:
    """Have `app.openapi()` answer the finished document, made once."""

    def document() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI) -> Document:
    """The finished document."""
    document = get_openapi(
        title=app.title,
        version=version("tensorfleet"),
        openapi_version="3.1.0",
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS],
    )
    components = document["components"]
    _add_models(components["schemas"])
    components["responses"] = {name: _problem_response(status) for status, name in PROBLEM_NAMES.items()}
    components["headers"] = {n: {"description": text, "schema": {"type": "string"}} for n, text in HEADERS.items()}
    components["parameters"] = {}
    for path in document["paths"].values():
        for operation in (path[m] for m in METHODS if m in path):
            _finish(operation, components["parameters"])
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for schema in components["schemas"].values():
        _drop_titles(schema)
    return document


def _add_models(schemas: Document) -> None:
    """Models that no route names in its signature: events, the problem, and the body that is read by hand."""
    shown: list[type[BaseModel]] = [*EVENT_MODELS.values(), Problem]
    models: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (JobCreate, "validation"),
        (BatchCreate, "validation"),
        (SweepBatch, "validation"),
    ]
    models += [(model, "serialization") for model in shown]
    _, definitions = models_json_schema(models, ref_template=REF)
    schemas.update({name: schema for name, schema in definitions["$defs"].items() if name not in schemas})


def _problem_response(status: int) -> Document:
    codes = [code for code, known in CODES.items() if known.status == status]
    example = PROBLEM if status == 422 else _problem_example(codes[0])
    content = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}, "example": example}}
    response: Document = {"description": f"Codes: {', '.join(f'`{code}`' for code in codes)}.", "content": content}
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return response


def _problem_example(code: str) -> Document:
    known = CODES[code]
    return {
        **PROBLEM,
        "type": f"/docs/errors/{code}",
        "title": known.title,
        "status": known.status,
        "code": code,
        "detail": known.meaning,
        "errors": [],
    }


def _finish(operation: Document, shared: Document) -> None:
    name = operation["operationId"]
    operation["description"] = " ".join(operation["description"].split())
    operation["responses"] = {s: _only_reference(r) for s, r in operation["responses"].items() if _is_ours(s, r)}
    if "parameters" in operation:
        operation["parameters"] = [_share(p, shared) for p in operation["parameters"]]
    if name in REQUESTS:
        content = operation["requestBody"]["content"]["application/json"]
        content["examples"] = {title: {"value": value} for title, value in REQUESTS[name].items()}
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            _finish_success(name, status, response)


def _is_ours(status: str, response: Document) -> bool:
    return status != "422" or "$ref" in response


def _only_reference(response: Document) -> Document:
    return {"$ref": response["$ref"]} if "$ref" in response else response


def _finish_success(name: str, status: str, response: Document) -> None:
    headers = ["X-Request-ID"]
    headers += ["ETag"] if name in TAGGED else []
    headers += ["Idempotent-Replayed"] if name in REQUESTS else []
    response["headers"] = {h: {"$ref": f"#/components/headers/{h}"} for h in headers}
    content = response.get("content", {})
    if "application/json" in content and status in ANSWERS.get(name, {}):
        content["application/json"]["examples"] = {"default": {"value": ANSWERS[name][status]}}
    if "text/event-stream" in content:
        response["content"] = {k: content[k] for k in sorted(content)}
        models = {event: REF.format(model=model.__name__) for event, model in EVENT_MODELS.items()}
        content["text/event-stream"].update(
            {"schema": {}, "x-event-stream": models, "examples": {"raw": {"value": STREAMS[name]}}}
        )


def _share(parameter: Document, shared: Document) -> Document:
    """A reference to the equal shared parameter; one that differs, or belongs to one operation, stays as it is."""
    name = SHARED_PARAMETERS.get(parameter["name"].lower())
    if name is None or (parameter["name"] in {"job_id", "batch_id", "workflow_id"} and parameter["in"] != "path"):
        return _untitled(parameter)
    parameter = _untitled({**parameter, "name": HEADER_NAMES.get(parameter["name"].lower(), parameter["name"])})
    if shared.setdefault(name, parameter) != parameter:
        return parameter
    return {"$ref": f"#/components/parameters/{name}"}


def _untitled(parameter: Document) -> Document:
    schema = {k: v for k, v in parameter["schema"].items() if k not in {"title", "description"}}
    return {**parameter, "schema": _never_null(schema)}


def _never_null(schema: Document) -> Document:
    """Without null: a parameter has no way to be null, it is left out."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    return {**options[0], **{k: v for k, v in schema.items() if k != "anyOf"}} if len(options) == 1 else schema


def _drop_titles(schema: Document) -> None:
    """Titles of fields repeat their names; that of the component stays."""
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
