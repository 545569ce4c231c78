"""What pydantic found wrong, in our words: paths without the word `body`, unknown names with the nearest known one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, get_args

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.nearest import nearest_name, unknown_name
from app.wording import fault

Model = TypeVar("Model", bound=BaseModel)
_QUOTED = re.compile(r"'([^']*)'")
_SECONDS = frozenset({"timeout", "retry_delay", "max_delay", "queue_deadline"})


def field_errors(request: Request, error: RequestValidationError) -> list[FieldError]:
    """One entry for each fault that FastAPI found in a request, with its path."""
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = body_field.field_info.annotation if body_field is not None else None
    out = []
    for each in error.errors()[:MOST_ERRORS]:
        place, *steps = each["loc"]
        if place == "query" and (separate := _one_by_one(each, steps)):
            out.append(FieldError(path_text(steps), fault(each) + separate))
        else:
            out.append(_field_error(each, list(_real_steps(steps, error.body)) if place == "body" else steps, model))
    return out


def validated(model: type[Model], body: Any, whole: type[BaseModel] | None = None) -> Model:
    """The body as this model. Raises Invalid. For operations that FastAPI's own way is too slow for. `whole`: the model
    whose fields are named to one that is not known."""
    if body is None:
        raise Invalid.one("", "a JSON body is required")
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Invalid(faults_of(error, body, whole or model)) from None


def faults_of(error: ValidationError, body: Any, model: type[BaseModel]) -> Iterator[FieldError]:
    """What pydantic found wrong with the body, one by one."""
    for each in error.errors(include_url=False)[:MOST_ERRORS]:
        yield _field_error(each, list(_real_steps(each["loc"], body)), model)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Within it, paths of Invalid are told as they stand in the body: below `place`, such as `job_template.`."""
    try:
        yield
    except Invalid as invalid:
        raise Invalid([replace(e, path=f"{place}{e.path}") for e in invalid.errors], invalid.code) from None


def _field_error(found: Mapping[str, Any], steps: Sequence[str | int], model: Any) -> FieldError:
    path = path_text(steps)
    if found["type"] == "extra_forbidden":
        return FieldError(path, *unknown_name("field", str(steps[-1]), _known_fields(model, steps[:-1])))
    if found["type"] == "missing":
        return FieldError(path, "is required" if steps else "a JSON body is required")
    near = None
    if found["type"] in {"enum", "literal_error"}:
        near = nearest_name(str(found["input"]), _QUOTED.findall(found["ctx"]["expected"]))
    elif found["type"] == "union_tag_invalid":
        near = nearest_name(found["ctx"]["tag"], _QUOTED.findall(found["ctx"]["expected_tags"]))
    hint = f"; did you mean {near}?" if near else ""
    return FieldError(path, fault(found) + (_unit(found, steps) or hint), near)


def _unit(found: Mapping[str, Any], steps: Sequence[str | int]) -> str:
    """` of seconds` where a text such as `1h` was given for a time."""
    return " of seconds" if found["type"] in {"float_type", "float_parsing"} and steps[-1] in _SECONDS else ""


def _one_by_one(found: Mapping[str, Any], steps: Sequence[str | int]) -> str:
    """How to give several where `A,B` was given for one of a list; else nothing."""
    given = found["input"]
    if found["type"] != "enum" or len(steps) < 2 or not isinstance(given, str) or "," not in given:
        return ""
    name = steps[-2]
    return "; give each by itself: " + "&".join(f"{name}={part.strip()[:40]}" for part in given.split(",")[:3])


def path_text(steps: Sequence[str | int]) -> str:
    """`("jobs", 3, "parameters", "C")` as `jobs[3].parameters.C`."""
    out = ""
    for step in steps:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else str(step)
    return out


def _real_steps(steps: Sequence[str | int], body: Any) -> Iterator[str | int]:
    """The steps that lead through the body: pydantic also names the branch of a union, which is not in it."""
    here = body
    for n, step in enumerate(steps):
        if isinstance(here, Mapping):
            if step not in here and n < len(steps) - 1:
                continue
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            here = here[step] if step < len(here) else None
        else:
            continue
        yield step


def _known_fields(model: Any, steps: Sequence[str | int]) -> list[str]:
    """Names of the fields that the object at `steps` below `model` may have. A step that is no field is the key of a
    mapping, whose values the models are already."""
    models = _models_in(model)
    for step in steps:
        if fields := [each.model_fields[step] for each in models if step in each.model_fields]:
            models = [model for field in fields for model in _models_in(field.annotation)]
    return [name for each in models for name in each.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `list[Step] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
