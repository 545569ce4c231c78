"""Templates and data sets as they are answered. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.domain.datasets import BuiltInDataset
from app.domain.job import Job
from app.domain.json import Json
from app.domain.layers import Layer
from app.domain.origins import Origin
from app.domain.records import Dataset
from app.domain.resources import Vector
from app.domain.template_diff import Difference
from app.domain.templates import Parameter, Step, Template
from app.domain.timestamps import optional_rfc3339 as moment

View = dict[str, Any]


def template_view(template: Template) -> View:
    """A template at one version. A secret has no default; one of an earlier release is not shown."""
    secrets = {p.name for p in template.parameters if p.type == "secret"}
    return {
        "id": template.id,
        "name": template.title,
        "description": template.description,
        "category": template.category,
        "version": template.version,
        "built_in": template.built_in,
        "base_template": template.base_template,
        "base_version": template.base_version,
        "parameters": [_parameter(p, template.default_parameters.get(p.name)) for p in template.parameters],
        "default_parameters": {k: None if k in secrets else v for k, v in template.default_parameters.items()},
        "resource_requirements": Vector.from_units(template.resource_requirements).units(),
        "execution_steps": [_step(s) for s in template.execution_steps],
        "executor": template.executor,
        "retry_policy": template.retry_policy,
        "timeout": template.timeout,
        "resume": template.resume,
        "limits": template.limits,
        "created_at": moment(template.created_at),
        "archived_at": moment(template.archived_at),
    }


def version_view(template: Template) -> View:
    """A version in a list of them."""
    return {
        "version": template.version,
        "name": template.title,
        "description": template.description,
        "base_template": template.base_template,
        "base_version": template.base_version,
        "created_at": moment(template.created_at),
        "archived_at": moment(template.archived_at),
    }


def origin_view(origin: Origin) -> View:
    """A value and what gave it."""
    return {
        "path": origin.path,
        "value": origin.value,
        "source": origin.source,
        "layer": origin.layer,
        "step": origin.step,
        "seq": origin.seq,
        "setting": origin.setting,
        "hidden": [{"layer": below.layer, "value": below.value} for below in origin.hidden],
    }


def explanation_view(template: Template, layers: Sequence[Layer], origins: Sequence[Origin]) -> View:
    """A template as its layers."""
    return {
        "id": template.id,
        "version": template.version,
        "layers": list(map(str, layers)),
        "values": [origin_view(origin) for origin in origins],
    }


def job_origins_view(job: Job, layers: Sequence[Layer], origins: Sequence[Origin]) -> View:
    """A job as what gave its values."""
    return {
        "job_id": job.id,
        "template": job.template,
        "template_version": job.template_version,
        "layers": list(map(str, layers)),
        "values": [origin_view(origin) for origin in origins],
    }


def diff_view(before: Template, after: Template, found: Sequence[Difference]) -> View:
    """What two versions differ in."""
    changes = [{"path": d.path, "kind": d.kind, "before": d.before, "after": d.after} for d in found]
    return {"id": after.id, "from": before.version, "to": after.version, "changes": changes}


def _parameter(parameter: Parameter, template_default: Json) -> View:
    default = parameter.default if template_default is None else template_default
    return {
        "name": parameter.name,
        "type": parameter.type,
        "required": parameter.required,
        "default": None if parameter.type == "secret" else default,
        "options": parameter.options,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "pattern": parameter.pattern,
        "description": parameter.description,
        "aliases": parameter.aliases,
    }


def _step(step: Step) -> View:
    return {"step": step.step, "timeout": step.timeout, "command": step.command, "env": step.env}


def built_in_dataset_view(dataset: BuiltInDataset) -> View:
    """A data set that needs no file."""
    return {
        "name": dataset.name,
        "kind": "built_in",
        "path": None,
        "description": dataset.description,
        "target_column": dataset.target,
        "rows": dataset.rows,
        "features": dataset.features,
        "task": dataset.task,
        "registered_at": None,
    }


def registered_view(dataset: Dataset) -> View:
    """A data set just registered. A file that is not here may be on the nodes, or still to come."""
    message = "Data set registered"
    if not dataset.facts:
        message += (
            ", but the service finds no such table below its own DATA_ROOT: "
            f"{dataset.path} must be below that of each node that is to run a job with it"
        )
    return {**dataset_view(dataset), "message": message}


def dataset_view(dataset: Dataset) -> View:
    """A registered data set; what only the file knows comes from its facts, once somebody has read it."""
    return {
        "name": dataset.name,
        "kind": "registered",
        "path": dataset.path,
        "description": dataset.description,
        "target_column": dataset.target_column,
        "rows": dataset.facts.get("rows"),
        "features": dataset.facts.get("features"),
        "task": dataset.facts.get("task"),
        "registered_at": moment(dataset.registered_at),
    }
