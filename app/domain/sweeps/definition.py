"""What a sweep was asked for, as it is kept with its batch: the sweep, the request that every trial is made from, and
the version of the template; and back.

Plain JSON, moments apart; dimensions are a list, since their names may hold dots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace

from app.domain.job import DependencyType
from app.domain.json import Json, deep_merge
from app.domain.priority import Priority
from app.domain.specification import JobRequest
from app.domain.sweeps.asha import EarlyStopping
from app.domain.sweeps.checks import nested
from app.domain.sweeps.space import Condition, Dimension, Space, Values
from app.domain.sweeps.sweep import Direction, Strategy, Sweep

_OTHERS = ("space", "strategy", "direction", "early_stopping", "lag")
_SCALARS = tuple(f.name for f in fields(Sweep) if f.name not in _OTHERS)
_TUPLES = ("dependencies", "tags", "limits")


@dataclass(frozen=True, slots=True)
class Definition:
    """`request` lacks what is searched, and reads `***` for `secrets`, which are stored apart; `template_version` is
    that of all trials."""

    sweep: Sweep
    request: JobRequest
    template_version: int
    secrets: tuple[str, ...] = ()

    def request_for(self, values: Values) -> JobRequest:
        """The request of the trial with these values."""
        return replace(self.request, parameters=deep_merge(self.request.parameters, nested(values)))

    def to_json(self) -> dict[str, Json]:
        sweep = self.sweep
        stopping = sweep.early_stopping
        return {
            **{name: getattr(sweep, name) for name in _SCALARS},
            "strategy": sweep.strategy.value,
            "direction": sweep.direction.value,
            "lag": sweep.lag,
            "early_stopping": None if stopping is None else asdict(stopping),
            "space": space_json(sweep.space),
            "request": _request_json(self.request),
            "template_version": self.template_version,
            "secrets": list(self.secrets),
        }


def definition_from(d: Mapping[str, Json]) -> Definition:
    """The definition of what `to_json` made. Raises KeyError, TypeError or ValueError for anything else."""
    stopping = d["early_stopping"]
    sweep = Sweep(
        space=space_from(d["space"]),
        strategy=Strategy(d["strategy"]),
        direction=Direction(d["direction"]),
        early_stopping=None if stopping is None else EarlyStopping(**stopping),
        lag=d.get("lag"),
        **{name: d[name] for name in _SCALARS},
    )
    return Definition(sweep, _request(d["request"]), d["template_version"], tuple(d["secrets"]))


def space_json(space: Space) -> list[dict[str, Json]]:
    """The dimensions, parents before children."""
    return [_dimension_json(d) for d in space.dimensions]


def space_from(dimensions: Iterable[Mapping[str, Json]]) -> Space:
    """The space of what `space_json` made."""
    return Space(tuple(_dimension(each) for each in dimensions))


def _dimension_json(d: Dimension) -> dict[str, Json]:
    made = {f.name: getattr(d, f.name) for f in fields(d)}
    return {**made, "values": list(d.values), "when": [[c.parent, list(c.values)] for c in d.when]}


def _dimension(d: Mapping[str, Json]) -> Dimension:
    when = tuple(Condition(parent, tuple(values)) for parent, values in d["when"])
    return Dimension(**{**d, "values": tuple(d["values"]), "when": when})


def _request_json(request: JobRequest) -> dict[str, Json]:
    made = {f.name: getattr(request, f.name) for f in fields(request)}
    made |= {name: list(made[name]) for name in _TUPLES}
    return {**made, "priority": request.priority.value, "dependency_type": request.dependency_type.value}


def _request(d: Mapping[str, Json]) -> JobRequest:
    tuples = {name: tuple(d[name]) for name in _TUPLES}
    kinds = {"priority": Priority(d["priority"]), "dependency_type": DependencyType(d["dependency_type"])}
    return JobRequest(**{**d, **tuples, **kinds})
