"""Make a recorded decision again: the planner on the recorded snapshot must decide the same, to the last number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.canonical import canonical
from app.scheduler.encoding import plan_value, snapshot_from, snapshot_hash
from app.scheduler.planner import plan


class Unreplayable(Exception):
    """The record holds no snapshot, or one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """`plan`: what is decided now; `differences`: in words, none when it is what was recorded."""

    plan: Mapping[str, Any]
    differences: tuple[str, ...]


def replay(record: Mapping[str, Any]) -> Replayed:
    """`record`: as GET /decisions/{id} answers it. Raises Unreplayable."""
    if not isinstance(record, Mapping) or not record.get("snapshot"):
        raise Unreplayable("the record holds no snapshot; set PLAN_RECORD=all, or take one that has it")
    try:
        snapshot = snapshot_from(record["snapshot"])
        made = json.loads(canonical(plan_value(plan(snapshot))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreplayable(f"the snapshot cannot be read: {type(error).__name__}: {error}") from error
    differences = []
    if snapshot_hash(snapshot) != record.get("snapshot_hash"):
        differences.append("the snapshot is not the one that was recorded: its hash is another")
    for part, now in made.items():
        if (then := record.get(part)) != now:
            differences.append(f"{part}: recorded {_short(then)}, now {_short(now)}")
    return Replayed(made, tuple(differences))


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else f"{text[:197]}…"
