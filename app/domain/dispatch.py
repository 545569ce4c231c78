"""The message that a scheduler sends to a node: `{"assignments": [[job_id, run_no], …]}` and nothing else.

It has no authority: the claim in the store decides. It comes from a transport that others may write to, so every part
is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.domain.errors import Invalid
from app.domain.ids import is_object_id

Assignment = tuple[str, int]
MOST = 10_000
_FIELD = "assignments"


def encode_message(assignments: Sequence[Assignment]) -> dict[str, Any]:
    """The JSON form of a message."""
    return {_FIELD: [list(assignment) for assignment in assignments]}


def decode_message(payload: object) -> list[Assignment]:
    """(job_id, run_no) each, from parsed JSON. Raises Invalid for anything but exactly a message."""
    if not isinstance(payload, dict) or payload.keys() != {_FIELD} or not isinstance(payload[_FIELD], list):
        raise Invalid.one("", f"a message is an object with `{_FIELD}`, a list, and nothing else")
    if not 1 <= len(payload[_FIELD]) <= MOST:
        raise Invalid.one(_FIELD, f"a message holds 1 to {MOST:,} assignments, got {len(payload[_FIELD]):,}")
    return [_assignment(pair, f"{_FIELD}[{n}]") for n, pair in enumerate(payload[_FIELD])]


def _assignment(pair: object, path: str) -> Assignment:
    match pair:
        case [str(job_id), int(run_no)] if is_object_id(job_id) and run_no >= 1 and not isinstance(run_no, bool):
            return job_id, run_no
    raise Invalid.one(path, "an assignment is a list of a job id and a run number from 1")
