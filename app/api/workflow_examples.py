"""Examples of workflows and schedules, the pipeline of the contract verbatim."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT, JOB_ID

WORKFLOW_ID = "wf_01kdvjm0q8m4x2c7w9f3e5t6y1"
PIPELINE = {
    "workflow_name": "complete_ml_pipeline",
    "description": "End-to-end ML pipeline",
    "steps": [
        {
            "step_id": "data_preparation", "job_template": "data_preprocessing",
            "parameters": {"dataset": "raw_data.csv"},
        },
        {
            "step_id": "model_training", "job_template": "ml_training", "depends_on": ["data_preparation"],
            "parameters": {"algorithm": "random_forest"},
        },
        {
            "step_id": "model_evaluation", "job_template": "model_evaluation", "depends_on": ["model_training"],
            "parameters": {"test_split": 0.2},
        },
    ],
}  # fmt: skip
_SEARCH = {
    "workflow_name": "best_of_three",
    "inputs": {"depths": {"type": "array", "default": [2, 4, 8]}, "least": {"type": "number", "default": 0.9}},
    "steps": [
        {
            "step_id": "train", "job_template": "ml_training", "for_each": "${{ inputs.depths }}", "max_parallel": 2,
            "parameters": {"dataset": "iris", "algorithm": "decision_tree", "max_depth": "${{ item }}"},
            "cache": True, "on_failure": "tell",
        },
        {
            "step_id": "publish", "job_template": "command", "depends_on": ["train"],
            "when": "steps.train.outputs.exists(o, o.accuracy > inputs.least)",
            "approval": {"message": "Publish it?", "timeout": 3600, "default": "reject"},
            "parameters": {"command": ["echo", "${{ string(size(steps.train.outputs)) }}"]},
        },
        {"step_id": "tell", "job_template": "command", "parameters": {"command": ["echo", "training failed"]}},
    ],
}  # fmt: skip
_GUARDED = {
    "workflow_name": "guarded",
    "inputs": {"token": {"type": "secret"}},
    "steps": [
        {"step_id": "fetch", "job_template": "guarded_fetch", "parameters": {"token": "${{ inputs.token }}"}},
    ],
}  # fmt: skip
_SECRET = {"inputs": {"token": "an-example-and-no-secret"}}
_SUMMARY = {
    "workflow_id": WORKFLOW_ID, "workflow_name": "complete_ml_pipeline", "version": 1, "tenant": "default",
    "status": "RUNNING", "seq": 1, "inputs": {}, "counts": {"ACTIVE": 1, "PENDING": 2}, "wish": None, "schedule": None,
    "submitted_at": AT, "started_at": AT, "finished_at": None,
}  # fmt: skip
_STEP = {
    "step_id": "data_preparation", "status": "QUEUED", "job_id": JOB_ID, "outputs": None, "error": None,
    "skipped_because": None, "cached_from": None, "approval": None, "run": 0, "item_counts": None, "items": None,
}  # fmt: skip
_ENTRY = {
    "seq": 1, "from": None, "to": "PENDING", "reason": "submitted", "at": AT, "actor": "anonymous", "detail": None,
}  # fmt: skip
_STARTED = {**_ENTRY, "seq": 2, "from": "PENDING", "to": "RUNNING", "reason": "started"}


def _waiting(step_id: str) -> dict[str, Any]:
    return {**_STEP, "step_id": step_id, "status": "PENDING", "job_id": None}


WORKFLOW = {
    **_SUMMARY, "description": "End-to-end ML pipeline", "outputs": {},
    "steps": [_STEP, _waiting("model_training"), _waiting("model_evaluation")], "next_cursor": None,
    "history": [_ENTRY, _STARTED],
}  # fmt: skip


def _after(reason: str, **fields: Any) -> dict[str, Any]:
    """The workflow after a control."""
    entry = {**_STARTED, "seq": 3, "from": "RUNNING", "to": fields.get("status", "RUNNING"), "reason": reason}
    return {**WORKFLOW, "seq": 3, **fields, "history": [_ENTRY, _STARTED, entry]}


def _node(step_id: str, level: int) -> dict[str, Any]:
    return {
        "step_id": step_id, "job_template": "ml_training", "status": "PENDING", "job_id": None,
        "dependency_type": "all_complete", "level": level, "lane": 0, "condition": None, "items": None,
        "skipped_because": None, "awaits_approval": False,
    }  # fmt: skip


_SCHEDULE = {
    "name": "nightly", "workflow_name": "complete_ml_pipeline", "cron": "30 2 * * 1-5", "timezone": "Europe/Berlin",
    "missed": "run_once",
}  # fmt: skip
_SCHEDULED: dict[str, Any] = {
    **_SCHEDULE, "inputs": {}, "created_at": AT, "next_at": AT, "last_at": None, "last_workflow_id": None,
    "last_error": None,
}  # fmt: skip
_STORED = {
    "workflow_name": "complete_ml_pipeline", "version": 1, "description": "End-to-end ML pipeline",
    "templates": {"data_preprocessing": 1, "ml_training": 1, "model_evaluation": 1}, "created_at": AT,
}  # fmt: skip
_REASON = {"with a reason": {"reason": "wrong data"}}
REQUESTS: dict[str, dict[str, Any]] = {
    "create_workflow": {
        "pipeline": PIPELINE,
        "fan-out, condition, approval": {**_SEARCH, "start": False},
        "secret input": {**_GUARDED, "start": False},
    },
    "validate_workflow": {"pipeline": PIPELINE},
    "run_workflow": {
        "by name": {"workflow_name": "best_of_three", "inputs": {"least": 0.95}},
        "with a secret": {"workflow_name": "guarded", **_SECRET},
    },
    "start_workflow": {"with inputs": {"inputs": {"least": 0.95}}},
    "cancel_workflow": _REASON,
    "pause_workflow": _REASON,
    "resume_workflow": _REASON,
    "retry_workflow": _REASON,
    "rerun_workflow": {
        "with other parameters": {"from_step": "model_training", "parameters": {"algorithm": "gradient_boosting"}},
    },
    "approve_workflow_step": {"with a reason": {"reason": "accuracy is fine"}},
    "reject_workflow_step": {"with a reason": {"reason": "not on a Friday"}},
    "create_schedule": {
        "weekdays": _SCHEDULE,
        "with a secret": {**_SCHEDULE, "name": "guarded-nightly", "workflow_name": "guarded", **_SECRET},
    },
}  # fmt: skip
ANSWERS: dict[str, dict[str, Any]] = {
    "create_workflow": {"201": WORKFLOW},
    "validate_workflow": {
        "200": {
            "valid": True, "workflow_name": "complete_ml_pipeline", "steps": 3,
            "order": ["data_preparation", "model_training", "model_evaluation"],
            "templates": {"data_preprocessing": 1, "ml_training": 1, "model_evaluation": 1},
        }
    },
    "run_workflow": {"201": WORKFLOW},
    "list_workflows": {"200": {"workflows": [_SUMMARY], "next_cursor": None}},
    "get_workflow": {"200": WORKFLOW},
    "list_workflow_steps": {"200": {"steps": [_STEP], "next_cursor": None}},
    "list_workflow_step_items": {
        "200": {
            "step_id": "train", "item_counts": {"total": 1, "active": 0, "completed": 1, "unsuccessful": 0},
            "items": [
                {
                    "item": 0,
                    "status": "COMPLETED",
                    "job_id": JOB_ID,
                    "cached_from": None,
                    "error": None,
                    "outputs": {"accuracy": 0.95},
                }
            ],
            "next_cursor": None,
        }
    },
    "get_workflow_graph": {
        "200": {
            "workflow_id": WORKFLOW_ID, "status": "RUNNING",
            "nodes": [_node("data_preparation", 0), _node("model_training", 1)],
            "edges": [{"from": "data_preparation", "to": "model_training", "kind": "dependency"}],
            "layout": {"levels": 2, "lanes": 1},
        }
    },
    "start_workflow": {"200": WORKFLOW},
    "cancel_workflow": {"200": _after("cancel_requested", wish="cancel")},
    "pause_workflow": {"200": _after("paused", status="PAUSED")},
    "resume_workflow": {"200": _after("resumed")},
    "retry_workflow": {"200": _after("retried")},
    "rerun_workflow": {"200": _after("rerun")},
    "approve_workflow_step": {"200": _after("step_approved")},
    "reject_workflow_step": {"200": _after("step_rejected")},
    "list_workflow_definitions": {"200": {"definitions": [_STORED], "next_cursor": None}},
    "get_workflow_definition": {"200": {**_STORED, "definition": PIPELINE}},
    "list_workflow_definition_versions": {
        "200": {"workflow_name": "complete_ml_pipeline", "versions": [_STORED], "next_cursor": None}
    },
    "list_schedules": {
        "200": {
            "schedules": [
                {**_SCHEDULED, "name": "guarded-nightly", "workflow_name": "guarded", "inputs": {"token": "***"}},
                _SCHEDULED,
            ],
            "next_cursor": None,
        }
    },
    "create_schedule": {"201": _SCHEDULED},
}  # fmt: skip
