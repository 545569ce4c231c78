"""The document: valid, complete, and pleasant to generate a client from (experience.md 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from app.api.application import create_app
from app.api.openapi import METHODS
from app.config import load_settings

OPERATIONS = [
    "add_job_dependencies", "approve_workflow_step", "archive_template", "cancel_batch", "cancel_job",
    "cancel_jobs", "cancel_workflow", "change_job_priority", "create_dataset", "create_schedule", "create_template",
    "create_workflow", "delete_batch", "delete_dataset", "delete_job", "delete_schedule", "diff_template",
    "drain_node", "explain_job", "explain_template", "get_analytics", "get_analytics_timeseries", "get_batch",
    "get_batch_leaderboard", "get_dataset", "get_decision", "get_health", "get_job", "get_job_artifact",
    "get_job_logs", "get_job_metrics", "get_job_origins", "get_metrics", "get_node", "get_queue_status",
    "get_readiness", "get_resource_availability", "get_resource_plan", "get_template", "get_worker_activity",
    "get_workflow", "get_workflow_definition", "get_workflow_graph",
    "list_batches", "list_datasets", "list_decisions", "list_job_artifacts",
    "list_jobs", "list_limits", "list_nodes", "list_queue", "list_schedules", "list_template_versions",
    "list_templates", "list_workflow_definition_versions", "list_workflow_definitions", "list_workflow_step_items",
    "list_workflow_steps", "list_workflows", "pause_batch",
    "pause_job", "pause_queue", "pause_workflow",
    "reject_workflow_step", "reorder_queue", "rerun_workflow", "resume_batch", "resume_job", "resume_node",
    "resume_queue", "resume_workflow", "retry_batch", "retry_job", "retry_workflow", "revise_template",
    "run_workflow", "start_workflow", "stream_batch_events", "stream_events", "stream_job_events",
    "stream_workflow_events", "submit_batch", "submit_job", "validate_workflow", "what_if",
]  # fmt: skip
REQUIRED = {
    "JobCreate": {"template"},
    "JobSubmitted": {"job_id", "status", "message", "estimated_start_time", "queue_position", "name"},
    "BatchCreate": {"jobs"},
    "SweepBatch": {"sweep"},
    "SweepCreate": {"template", "space", "objective"},
    "BatchSubmitted": {"batch_id", "name", "status", "message", "job_ids", "counts"},
    "Problem": {"type", "title", "status", "code", "detail", "instance", "errors", "request_id"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {}

    return create_app(load_settings({}), lifespan).openapi()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from (item[m] for m in METHODS if m in item)


def nodes(value: Any) -> Iterator[Any]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_it_is_valid_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert not any("itemSchema" in node for node in nodes(document))


def test_the_operations_are_those_that_are_pinned(document: dict[str, Any]) -> None:
    assert sorted(o["operationId"] for o in operations(document)) == sorted(OPERATIONS)


def test_required_fields_are_those_that_are_pinned(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {name: set(schemas[name]["required"]) for name in REQUIRED} == REQUIRED


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for operation in operations(document):
        assert len(operation["tags"]) == 1
        assert set(operation["tags"]) <= tags
        assert 0 < len(operation["summary"]) <= 60
        assert operation["description"]


def test_every_request_and_success_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    seen = 0
    for operation in operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += [r for s, r in operation["responses"].items() if s.startswith("2")]
        for content in [body.get("content", {}) for body in bodies]:
            for kind in content.values():
                if operation["operationId"] in {"get_metrics", "get_job_artifact"}:
                    continue
                assert kind["examples"], operation["operationId"]
                for example in kind["examples"].values():
                    check(document, kind["schema"], example["value"])
                    seen += 1
    assert seen >= 25


def test_problem_examples_are_valid(document: dict[str, Any]) -> None:
    for response in document["components"]["responses"].values():
        content = response["content"]["application/problem+json"]
        check(document, content["schema"], content["example"])


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_errors_are_shared_problems_and_nothing_else(document: dict[str, Any]) -> None:
    assert "ValidationError" not in str(document)
    for operation in operations(document):
        wrong = {s: r for s, r in operation["responses"].items() if s[0] in "45" and "$ref" not in r}
        assert wrong.keys() <= {"503"}
        assert not wrong or operation["operationId"] == "get_readiness"
        if "requestBody" in operation:
            assert {"413", "415", "422"} <= operation["responses"].keys()


def test_what_a_parameter_may_be_is_never_null(document: dict[str, Any]) -> None:
    found = [node for node in nodes(document) if "in" in node and "schema" in node]
    assert {node["in"] for node in found} == {"path", "query", "header"}
    assert [node["name"] for node in found if {"type": "null"} in node["schema"].get("anyOf", ())] == []
    priority = next(node for node in found if node["name"] == "priority")
    assert priority["schema"] == {"$ref": "#/components/schemas/Priority"}


def test_every_operation_refuses_what_is_not_valid(document: dict[str, Any]) -> None:
    assert [o["operationId"] for o in operations(document) if "422" not in o["responses"]] == []


def test_an_artifact_may_be_of_any_type(document: dict[str, Any]) -> None:
    [operation] = (o for o in operations(document) if o["operationId"] == "get_job_artifact")
    assert list(operation["responses"]["200"]["content"]) == ["application/octet-stream", "*/*"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in nodes(document):
        references = [v for k, v in node.items() if k == "$ref"] + list(node.get("x-event-stream", {}).values())
        for reference in references:
            here: Any = document
            for part in reference.removeprefix("#/").split("/"):
                here = here[part]


def test_enums_and_unions_have_names(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    named = {id(schema) for schema in schemas.values()}
    for node in nodes(document):
        if "enum" in node and isinstance(node["enum"], list):
            assert id(node) in named, node
        options = [o for o in node.get("anyOf", []) if o != {"type": "null"}]
        assert len(options) <= 1, node
    unions = [node["oneOf"] for node in nodes(document) if "oneOf" in node]
    assert len(unions) == 4, "resources, of a job and of a sweep; a parameter of a space; jobs or a sweep"


def test_no_component_is_named_like_the_class_of_a_field(document: dict[str, Any]) -> None:
    """A generator names the class of an inline object `<component><field>`; taken, it drops the whole component."""
    schemas = document["components"]["schemas"]
    made = {
        f"{name}{''.join(word.title() for word in field.split('_'))}"
        for name, schema in schemas.items()
        for field, value in schema.get("properties", {}).items()
        if value.get("type") == "object"
    }
    assert made
    assert not made & schemas.keys()


def test_answers_always_carry_every_field(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in (
        "Job",
        "JobControlled",
        "JobsCancelled",
        "JobSummary",
        "JobList",
        "Template",
        "Dataset",
        "Node",
        "QueueStatus",
        "JobLogs",
        "JobStateEvent",
        "Batch",
        "BatchControlled",
        "BatchSubmitted",
        "BatchStateEvent",
    ):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name


def test_no_component_is_a_twin_or_a_body(document: dict[str, Any]) -> None:
    names = document["components"]["schemas"]
    assert not [n for n in names if n.startswith("Body_") or n.endswith(("-Input", "-Output"))]


def test_open_vocabularies_are_marked_and_closed_ones_are_enums(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert "dependencies" in schemas["WaitReason"]["properties"]["code"]["x-extensible-enum"]
    assert schemas["HistoryEntry"]["properties"]["reason"]["x-extensible-enum"]
    assert {"released", "preempted", "poisoned", "error"} <= set(
        schemas["Attempt"]["properties"]["outcome"]["x-extensible-enum"]
    )
    assert len(schemas["JobStatus"]["enum"]) == 10
    for name, field in (
        *(("RetryPolicy", "backoff"), ("Dataset", "kind"), ("Batch", "kind"), ("BatchStateEvent", "kind")),
        *(("SweepInfo", "strategy"), ("Leaderboard", "strategy")),
    ):
        assert len(schemas[name]["properties"][field]["x-extensible-enum"]) >= 2, "kinds, which may grow"
    assert schemas["SweepCreate"]["properties"]["strategy"]["$ref"].endswith("/Strategy"), "what is asked is closed"


def test_whole_numbers_of_a_query_fit_into_the_store(document: dict[str, Any]) -> None:
    found = [n for n in nodes(document) if n.get("in") == "query" and n["schema"].get("type") == "integer"]
    assert {"run_no", "after", "limit", "version"} <= {node["name"] for node in found}
    assert [node["name"] for node in found if not node["schema"].get("maximum", 2**63) < 2**63] == []


def test_streams_name_their_events(document: dict[str, Any]) -> None:
    streams = [
        o for o in operations(document) if "text/event-stream" in o["responses"].get("200", {}).get("content", {})
    ]
    names = {"stream_events", "stream_job_events", "stream_batch_events", "get_job_logs"}
    names |= {"stream_workflow_events"}
    assert {o["operationId"] for o in streams} == names
    for operation in streams:
        content = operation["responses"]["200"]["content"]
        assert content["text/event-stream"]["schema"] == {}
        assert "job.state" in content["text/event-stream"]["x-event-stream"]
    logs = next(o for o in streams if o["operationId"] == "get_job_logs")
    assert list(logs["responses"]["200"]["content"]) == ["application/json", "text/event-stream"]


def test_shared_parameters_and_headers_are_shared(document: dict[str, Any]) -> None:
    assert {"IdempotencyKey", "IfMatch", "LastEventId", "Limit", "Cursor"} <= document["components"][
        "parameters"
    ].keys()
    for operation in operations(document):
        if "requestBody" in operation:
            assert {"$ref": "#/components/parameters/IdempotencyKey"} in operation["parameters"]
    get_job = document["paths"]["/api/v1/jobs/{job_id}"]["get"]
    assert get_job["responses"]["200"]["headers"]["ETag"] == {"$ref": "#/components/headers/ETag"}
