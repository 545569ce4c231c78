"""What two versions of a template differ in: merged against merged, so that a change of a base shows too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.domain.json import Json
from app.domain.origins import facts
from app.domain.templates import Template

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """A place that differs. What only one version has is told whole, once; a list is one value."""

    path: str
    kind: str
    before: Json
    after: Json


def differences(before: Template, after: Template) -> list[Difference]:
    """Everything that differs, in the order of a template's fields. Steps are compared by their names."""
    return list(_differences(comparable(before), comparable(after), ""))


def comparable(template: Template) -> dict[str, Json]:
    """The facts of a template with its base, and its steps by name."""
    document = facts(template)
    steps = document.pop("execution_steps")
    by_name = {step["step"]: {k: v for k, v in step.items() if k != "step"} for step in steps}
    base = None if template.base_template is None else f"{template.base_template}@{template.base_version}"
    return {"base": base, **document, "execution_order": [step["step"] for step in steps], "execution_steps": by_name}


def _differences(before: Mapping[str, Json], after: Mapping[str, Json], path: str) -> Iterator[Difference]:
    for key in dict.fromkeys((*before, *after)):
        place = f"{path}{key}"
        if key not in before:
            yield Difference(place, ADDED, None, after[key])
        elif key not in after:
            yield Difference(place, REMOVED, before[key], None)
        elif isinstance(before[key], Mapping) and isinstance(after[key], Mapping):
            yield from _differences(before[key], after[key], f"{place}.")
        elif not _same(before[key], after[key]):
            yield Difference(place, CHANGED, before[key], after[key])


def _same(one: Json, other: Json) -> bool:
    """As JSON: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
