"""Workflows as documents and back.

A run is one document: `steps` holds the steps that are not fresh, each as its status where that is all; `items` those
of each `for_each`, by their number. Ten thousand steps are read in a few milliseconds, since a step becomes a value
only when it is looked at. A definition is kept as JSON: its texts are the user's, whatever keys they have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

import orjson

from app.domain.job import DependencyType
from app.domain.ports.workflows import DefinitionRow
from app.domain.priority import Priority
from app.domain.workflows.changes import WorkflowChange
from app.domain.workflows.definition import Approval, Definition, InputDefinition, PinnedDefinition, StepDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import (
    FRESH,
    ItemCounts,
    ItemState,
    StepError,
    StepState,
    StepStatus,
    Workflow,
    WorkflowEntry,
    WorkflowStatus,
)
from app.storage.history_documents import whole_entry_document
from app.storage.workflow_last import last_of, last_of_new

Document = dict[str, Any]
T = TypeVar("T")
OPS = 20
"""Writes that a workflow remembers, to recognise one that is sent again."""
ROW: Document = {"name": 1, "version": 1, "description": 1, "templates": 1, "created_at": 1}
"""The projection of a definition for listings."""
BARE: Document = {"steps": 0, "items": 0, "ops": 0}
"""The projection of a workflow for listings."""
_PLAIN = (
    "name", "version", "tenant", "seq", "submitted_at", "inputs", "counts", "wish", "approve_by", "started_at",
    "finished_at", "schedule",
)  # fmt: skip
_SCHEDULE = tuple(f.name for f in fields(Schedule) if f.name not in ("name", "sealed"))


Stored = Document | str
"""A step or an item: its status, alone where nothing more is to be said of it."""


class Decoded(Mapping[Any, T]):
    """Stored parts that become values when they are looked at."""

    def __init__(self, raw: Mapping[str, Stored], decode: Callable[[Stored], T], key: Callable[[str], Any]) -> None:
        self._raw, self._decode, self._key = raw, decode, key
        self._values: dict[Any, T] = {}

    def __getitem__(self, key: Any) -> T:
        if key not in self._values:
            self._values[key] = self._decode(self._raw[str(key)])
        return self._values[key]

    def __iter__(self) -> Iterator[Any]:
        return map(self._key, self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __contains__(self, key: object) -> bool:
        return str(key) in self._raw


_PLAIN_STEPS = {status.value: StepState(status) for status in StepStatus}
_PLAIN_ITEMS = {status.value: ItemState(status) for status in StepStatus}


def step_document(state: StepState) -> Stored:
    """What is not as in a fresh step."""
    document: Document = {"status": state.status.value}
    for name in ("run", "because", "approved", "approve_by", "cached_from", "never_began"):
        if (value := getattr(state, name)) != getattr(FRESH, name):
            document[name] = value
    if state.error is not None:
        document["error"] = asdict(state.error)
    if state.items is not None:
        document["items"] = asdict(state.items)
    if state.parameters:
        document["parameters"] = dict(state.parameters)
    return document if len(document) > 1 else state.status.value


def _step_from(d: Stored) -> StepState:
    if isinstance(d, str):
        return _PLAIN_STEPS[d]
    more = {name: value for name, value in d.items() if name not in ("status", "error", "items")}
    error, items = d.get("error"), d.get("items")
    return StepState(
        status=StepStatus(d["status"]),
        error=None if error is None else StepError(**error),
        items=None if items is None else ItemCounts(**items),
        **more,
    )


def item_document(state: ItemState) -> Stored:
    document: Document = {"status": state.status.value}
    if state.run:
        document["run"] = state.run
    if state.error is not None:
        document["error"] = asdict(state.error)
    if state.cached_from is not None:
        document["cached_from"] = state.cached_from
    return document if len(document) > 1 else state.status.value


def _item_from(d: Stored) -> ItemState:
    if isinstance(d, str):
        return _PLAIN_ITEMS[d]
    error = d.get("error")
    return ItemState(
        StepStatus(d["status"]), d.get("run", 0), None if error is None else StepError(**error), d.get("cached_from")
    )


def _entry_from(d: Mapping[str, Any]) -> WorkflowEntry:
    source = None if d["from"] is None else WorkflowStatus(d["from"])
    return WorkflowEntry(d["seq"], source, WorkflowStatus(d["to"]), d["reason"], d["at"], d["actor"], d["detail"])


def workflow_document(workflow: Workflow) -> Document:
    """The whole document of a run, as it is inserted."""
    return {
        "_id": workflow.id,
        "status": workflow.status.value,
        **{name: getattr(workflow, name) for name in _PLAIN},
        "sealed": workflow.sealed,
        "inputs": dict(workflow.inputs),
        "counts": dict(workflow.counts),
        "steps": {step_id: step_document(state) for step_id, state in workflow.steps.items()},
        "items": {
            step_id: {str(n): item_document(each) for n, each in of.items()} for step_id, of in workflow.items.items()
        },
        "history": [whole_entry_document(entry) for entry in workflow.history],
        "ops": [],
        "last": last_of_new(workflow),
    }


def workflow_from(d: Mapping[str, Any]) -> Workflow:
    """The run of a document; of one without steps and items those are empty."""
    if not isinstance(d["_id"], str) or not isinstance(d["seq"], int):
        raise TypeError("a workflow without an id or a seq")
    items: Mapping[str, Mapping[str, Stored]] = d.get("items") or {}
    return Workflow(
        id=d["_id"],
        status=WorkflowStatus(d["status"]),
        steps=Decoded(d.get("steps") or {}, _step_from, str),
        items={step_id: Decoded(of, _item_from, int) for step_id, of in items.items()},
        history=tuple(_entry_from(entry) for entry in d["history"]),
        sealed=d.get("sealed"),
        **{name: d[name] for name in _PLAIN},
    )


def change_update(change: WorkflowChange) -> Document:
    """The update of a change."""
    written: Document = {
        "status": change.status.value,
        "seq": change.seq + 1,
        "counts": dict(change.counts),
        "wish": change.wish,
        "approve_by": change.approve_by,
        "started_at": change.started_at,
        "finished_at": change.finished_at,
        "sealed": change.sealed,
        "last": last_of(change),
    }
    if any(entry.reason == "started" for entry in change.entries):
        written["inputs"] = dict(change.inputs)
    written |= {f"steps.{step_id}": step_document(state) for step_id, state in change.steps.items()}
    whole: dict[str, dict[str, Stored]] = {step_id: {} for step_id in change.forget_items}
    for (step_id, n), item in change.items.items():
        if step_id in whole:
            whole[step_id][str(n)] = item_document(item)
        else:
            written[f"items.{step_id}.{n}"] = item_document(item)
    written |= {f"items.{step_id}": of for step_id, of in whole.items()}
    push: Document = {"ops": {"$each": [change.op], "$slice": -OPS}}
    if change.entries:
        push["history"] = {"$each": [whole_entry_document(entry) for entry in change.entries]}
    return {"$set": written, "$push": push}


def definition_json(definition: Definition) -> bytes:
    """The definition as it is kept; equal for equal ones."""
    return orjson.dumps(asdict(definition), option=orjson.OPT_SORT_KEYS)


def definition_document(definition: Definition, version: int, templates: Mapping[str, int], at: Any) -> Document:
    """The document of one version."""
    json = definition_json(definition)
    return {
        "_id": f"{definition.name}:{version}",
        "name": definition.name,
        "version": version,
        "description": definition.description,
        "json": json,
        "templates": [[name, templates[name]] for name in sorted(templates)],
        "digest": definition_digest(json, templates),
        "created_at": at,
    }


def definition_digest(json: bytes, templates: Mapping[str, int]) -> str:
    """Equal for definitions that do the same: the same text, the same versions of templates."""
    return hashlib.sha256(json + orjson.dumps(sorted(templates.items()))).hexdigest()


def definition_from(d: Mapping[str, Any]) -> PinnedDefinition:
    """The definition of a document."""
    return PinnedDefinition(definition_of(orjson.loads(d["json"])), d["version"], dict(d["templates"]), d["created_at"])


def row_from(d: Mapping[str, Any]) -> DefinitionRow:
    """What a listing says of a document."""
    return DefinitionRow(d["name"], d["version"], d.get("description", ""), dict(d["templates"]), d["created_at"])


def definition_of(raw: Mapping[str, Any]) -> Definition:
    """A definition from its JSON."""
    inputs = {name: InputDefinition(**each) for name, each in raw["inputs"].items()}
    steps = tuple(_step_definition(each) for each in raw["steps"])
    return Definition(raw["name"], steps, raw["description"], inputs, Priority(raw["priority"]))


def _step_definition(raw: Mapping[str, Any]) -> StepDefinition:
    for_each, priority, approval = raw["for_each"], raw["priority"], raw["approval"]
    return StepDefinition(
        **{
            **raw,
            "depends_on": tuple(raw["depends_on"]),
            "dependency_type": DependencyType(raw["dependency_type"]),
            "for_each": tuple(for_each) if isinstance(for_each, list) else for_each,
            "priority": None if priority is None else Priority(priority),
            "approval": None if approval is None else Approval(**approval),
        }
    )


def schedule_document(schedule: Schedule) -> Document:
    parts = {name: getattr(schedule, name) for name in _SCHEDULE}
    return {"_id": schedule.name, "sealed": schedule.sealed, **parts}


def schedule_from(d: Mapping[str, Any]) -> Schedule:
    return Schedule(name=d["_id"], sealed=d.get("sealed"), **{name: d[name] for name in _SCHEDULE})
