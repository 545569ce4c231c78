"""What a user gave of a job, as the paths of its values: all that is kept of a request beside what it was resolved to.

Bounded, since a job carries it; the origin of a value beyond the bound is told by comparing it with the template's.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.json import Json, json_leaves

MOST_PATHS = 300
LONGEST_PATH = 300


def asked_paths(said: Mapping[str, Json]) -> tuple[str, ...]:
    """The paths of everything that a request says. `said`: its parts by name; None and empty are not said."""
    given = {part: value for part, value in said.items() if value}
    paths = [".".join(place) for place, value in json_leaves(given) if value is not None]
    return tuple([path for path in paths if len(path) <= LONGEST_PATH][:MOST_PATHS])
