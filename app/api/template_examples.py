"""Examples of templates: those of the contract verbatim, their versions, and where values come from."""

from __future__ import annotations

from typing import Any

from app.api.object_examples import AT, JOB_ID, RESOURCES

_TEMPLATE = {
    "id": "custom_training_template",
    "name": "custom_training_template",
    "description": "Custom training workflow",
    "category": "machine_learning",
    "version": 1,
    "built_in": False,
    "base_template": "ml_training_template",
    "base_version": 1,
    "parameters": [
        {
            "name": "algorithm", "type": "string", "required": False, "default": "random_forest",
            "options": ["random_forest", "svm"], "minimum": None, "maximum": None, "pattern": None,
            "description": "What is trained.", "aliases": [],
        }
    ],
    "default_parameters": {"algorithm": "random_forest", "validation_strategy": "cross_validation"},
    "resource_requirements": RESOURCES,
    "execution_steps": [{"step": "model_training", "timeout": 1800, "command": None, "env": {}}],
    "executor": "process",
    "retry_policy": {},
    "timeout": None,
    "resume": None,
    "limits": [],
    "created_at": AT,
    "archived_at": None,
}  # fmt: skip
_DERIVED = {
    "name": "custom_training_template",
    "description": "Custom training workflow",
    "base_template": "ml_training_template",
    "custom_parameters": {
        "preprocessing_steps": ["normalize", "feature_selection"],
        "validation_strategy": "cross_validation",
    },
}
_WHOLE = {
    "job_template": {
        "name": "my_training",
        "description": "Training on my data",
        "default_parameters": {"algorithm": "random_forest"},
        "resource_requirements": {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 0, "storage_gb": 10},
        "execution_steps": [
            {"step": "data_preparation", "timeout": 300},
            {"step": "model_training", "timeout": 1800},
        ],
    }
}
_REVISED = {
    "description": "Custom training workflow, one more fold",
    "base_template": "ml_training_template",
    "custom_parameters": {"validation_strategy": "cross_validation", "cv_folds": 6},
}
_VERSION = {
    "version": 1,
    "name": "custom_training_template",
    "description": "Custom training workflow",
    "base_template": "ml_training_template",
    "base_version": 1,
    "created_at": AT,
    "archived_at": None,
}


def _origin(path: str, value: Any, source: str, layer: str | None = None, **more: Any) -> dict[str, Any]:
    unsaid: dict[str, Any] = {"layer": layer, "step": None, "seq": None, "setting": None, "hidden": []}
    return {"path": path, "value": value, "source": source, **unsaid, **more}


_BASE, _OWN = "ml_training_template@1", "custom_training_template@1"
_FOREST = {"layer": _BASE, "value": "random_forest"}
JOB_VALUES = [
    _origin("name", "iris-svm", "service"),
    _origin("parameters.algorithm", "svm", "request", seq=1, hidden=[_FOREST]),
    _origin("parameters.validation_strategy", "cross_validation", "template", _OWN),
    _origin("retry_policy.max_attempts", 3, "setting", setting="RETRY_ATTEMPTS"),
]
_LAYERS = [_OWN, _BASE]

REQUESTS: dict[str, dict[str, Any]] = {
    "create_template": {"inheriting": _DERIVED, "whole": _WHOLE},
    "revise_template": {"inheriting": _REVISED, "whole": _WHOLE},
}
ANSWERS: dict[str, dict[str, Any]] = {
    "list_templates": {"200": {"templates": [_TEMPLATE], "next_cursor": None}},
    "create_template": {"201": _TEMPLATE},
    "get_template": {"200": _TEMPLATE},
    "revise_template": {"200": {**_TEMPLATE, "version": 2}},
    "archive_template": {"200": {**_TEMPLATE, "archived_at": AT}},
    "list_template_versions": {"200": {"id": "custom_training_template", "versions": [_VERSION], "next_cursor": None}},
    "explain_template": {
        "200": {
            "id": "custom_training_template",
            "version": 1,
            "layers": _LAYERS,
            "values": [
                _origin("default_parameters.algorithm", "random_forest", "template", _BASE),
                _origin("default_parameters.validation_strategy", "cross_validation", "template", _OWN),
                _origin("executor", "process", "default"),
            ],
        }
    },
    "diff_template": {
        "200": {
            "id": "custom_training_template",
            "from": 1,
            "to": 2,
            "changes": [{"path": "default_parameters.cv_folds", "kind": "added", "before": None, "after": 6}],
        }
    },
    "get_job_origins": {
        "200": {
            "job_id": JOB_ID,
            "template": "custom_training_template",
            "template_version": 1,
            "layers": _LAYERS,
            "values": JOB_VALUES,
        }
    },
}
