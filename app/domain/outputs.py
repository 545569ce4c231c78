"""What a job has put out, as one object."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.json import Json


def outputs_of(result: Mapping[str, Json] | None) -> dict[str, Json]:
    """The outputs of a job's steps in order, later ones over earlier ones, with the last values of its metrics beside
    them; of two of one name the output counts."""
    if not result:
        return {}
    merged: dict[str, Json] = dict(result.get("metrics") or {})
    for outputs in (result.get("steps") or {}).values():
        merged.update(outputs)
    return merged
