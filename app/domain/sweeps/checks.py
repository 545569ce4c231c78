"""What is wrong with a search space, each with its path below `space` and what to do.

Everything is checked on the declared dimensions, before `Space.of` orders them: that needs conditions without strangers
and cycles.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from graphlib import CycleError, TopologicalSorter

from app.domain.errors import FieldError
from app.domain.json import Json, deep_merge
from app.domain.nearest import unknown_name
from app.domain.sweeps.space import Dimension, Space, Values, key
from app.domain.sweeps.sweep import MOST_TRIALS, Strategy, Sweep

MOST_DIMENSIONS, MOST_VALUES, MOST_POINTS = 100, 1_000, 1 << 20
MOST_CONDITIONS, LONGEST_VALUE = 1_000, 4_096
LARGEST = float(1 << 53)
"""Beyond it not every whole number is one."""
NARROWEST = 1e-9
"""Of a range without steps, as a share of its larger bound."""


def space_errors(declared: Sequence[Dimension]) -> list[FieldError]:
    """All that is wrong; what follows from another fault is told when that one is gone."""
    if not declared:
        return [FieldError("space", 'is empty; name what to search, such as {"C": {"type": "log", "low": 0.01, …}}')]
    if len(declared) > MOST_DIMENSIONS:
        return [FieldError("space", f"at most {MOST_DIMENSIONS} parameters can be searched, got {len(declared)}")]
    errors = [error for dimension in declared for error in _dimension_errors(dimension)]
    errors += _amount_errors(declared)
    errors = errors or [error for dimension in declared for error in _condition_errors(dimension, declared)]
    errors = errors or list(_cycle_errors(declared))
    return errors or list(_nesting_errors(declared)) + list(_never_active(Space.of(declared)))


def _amount_errors(declared: Sequence[Dimension]) -> Iterator[FieldError]:
    """Bounds of the whole: each value is tried on the template, each condition looked at for each trial."""
    values = sum(len(d.values) for d in declared)
    if values > MOST_VALUES:
        yield FieldError("space", f"at most {MOST_VALUES:,} values can be listed in all, got {values:,}")
    named = sum(len(condition.values) for d in declared for condition in d.when)
    if named > MOST_CONDITIONS:
        yield FieldError("space", f"at most {MOST_CONDITIONS:,} values can be named by when in all, got {named:,}")


def sweep_errors(sweep: Sweep) -> Iterator[FieldError]:
    """What the strategy and the number of trials make of a space that is right in itself."""
    if sweep.strategy is Strategy.GRID:
        for dimension in sweep.space.dimensions:
            if dimension.continuous:
                message = "a grid needs points: give step or count, or take random or tpe"
                yield FieldError(f"space.{dimension.name}", message)
    if sweep.max_trials > MOST_TRIALS:
        yield FieldError("max_trials", f"at most {MOST_TRIALS:,}, got {sweep.max_trials:,}")
    elif sweep.max_trials > (size := sweep.space.size(sweep.max_trials)):
        message = (
            f"the space holds {size:,} different trials, fewer than {sweep.max_trials:,}; ask for at most {size:,}"
        )
        yield FieldError("max_trials", message)


def _dimension_errors(d: Dimension) -> Iterator[FieldError]:
    path = f"space.{d.name}"
    if any(not part for part in d.name.split(".")) or not d.name.isprintable() or len(d.name) > 200:
        yield FieldError(path, "must be the name of a parameter; a dot leads into an object: hyperparameters.C")
    if d.kind == "categorical":
        yield from _value_errors(d, path)
    else:
        yield from _range_errors(d, path) or _point_errors(d, path)


def _value_errors(d: Dimension, path: str) -> Iterator[FieldError]:
    if not d.values:
        yield FieldError(f"{path}.values", "is empty; list the values to try")
    for text, times in Counter(map(key, d.values)).items():
        if len(text) > LONGEST_VALUE:
            yield FieldError(
                f"{path}.values", f"a value of {len(text):,} characters is too long; at most {LONGEST_VALUE:,}"
            )
        if times > 1:
            yield FieldError(f"{path}.values", f"{text[:80]} stands {times} times; list each value once")


def _range_errors(d: Dimension, path: str) -> list[FieldError]:
    if not all(math.isfinite(bound) and abs(bound) <= LARGEST for bound in (d.low, d.high)):
        return [FieldError(path, f"low and high must be numbers between -{LARGEST:.0f} and {LARGEST:.0f}")]
    if d.low >= d.high:
        return [FieldError(f"{path}.low", f"must be below high, got {d.low:g} and {d.high:g}")]
    if d.logarithmic and d.low <= 0:
        return [FieldError(f"{path}.low", f"a logarithmic range begins above 0, got {d.low:g}")]
    if d.continuous and d.high - d.low < NARROWEST * max(abs(d.low), abs(d.high)):
        return [FieldError(path, f"{d.low!r} to {d.high!r} is too narrow to be searched; give the value itself")]
    return []


def _point_errors(d: Dimension, path: str) -> list[FieldError]:
    if d.step is not None and (d.count is not None or d.logarithmic):
        other = "count" if d.count is not None else "a logarithmic range, which takes count"
        return [FieldError(f"{path}.step", f"does not go with {other}; leave one of them out")]
    if d.step is not None and not 0 < d.step <= d.high - d.low:
        return [FieldError(f"{path}.step", f"must be above 0 and at most high - low, got {d.step:g}")]
    if d.step is not None and d.kind == "int" and d.step != int(d.step):
        return [FieldError(f"{path}.step", f"must be a whole number, as the values are, got {d.step:g}")]
    if d.step is not None and d.kind == "float" and (d.high - d.low) / d.step > MOST_POINTS:
        return [FieldError(f"{path}.step", f"makes more than {MOST_POINTS:,} points; take a larger one, or none")]
    if d.count is not None and not 2 <= d.count <= MOST_TRIALS:
        return [FieldError(f"{path}.count", f"must be from 2 to {MOST_TRIALS:,}, got {d.count}")]
    return []


def _condition_errors(d: Dimension, declared: Sequence[Dimension]) -> Iterator[FieldError]:
    known = {each.name: each for each in declared}
    for condition in d.when:
        path = f"space.{d.name}.when.{condition.parent}"
        parent = known.get(condition.parent)
        if parent is None:
            yield FieldError(path, *unknown_name("parameter of the space", condition.parent, set(known) - {d.name}))
        elif parent.kind not in ("int", "categorical"):
            yield FieldError(path, f"{condition.parent} is a {parent.kind}; only an int or a categorical can decide")
        elif not condition.values:
            yield FieldError(path, "is empty; name the values with which this parameter is tried")
        else:
            yield from _unheard_of(condition.values, parent, path)


def _unheard_of(values: Sequence[Json], parent: Dimension, path: str) -> Iterator[FieldError]:
    known = set(map(key, parent.values))
    for value in values:
        if parent.kind == "int":
            possible = isinstance(value, int) and not isinstance(value, bool) and value in (parent.points or ())
        else:
            possible = key(value) in known
        if not possible:
            yield FieldError(path, f"{parent.name} is never {key(value)[:80]}; name values that it can have")


def _cycle_errors(declared: Sequence[Dimension]) -> Iterator[FieldError]:
    try:
        TopologicalSorter({d.name: [c.parent for c in d.when] for d in declared}).prepare()
    except CycleError as error:
        names = " → ".join(reversed(error.args[1]))
        yield FieldError(f"space.{error.args[1][0]}.when", f"the conditions go round: {names}; take one of them out")


def _nesting_errors(declared: Sequence[Dimension]) -> Iterator[FieldError]:
    """A parameter and a part of it cannot both be searched."""
    names = {d.name for d in declared}
    for name in sorted(names):
        parts = name.split(".")
        for n in range(1, len(parts)):
            if (above := ".".join(parts[:n])) in names:
                yield FieldError(f"space.{name}", f"is a part of {above}, which is searched whole; take one of them")


def _never_active(space: Space) -> Iterator[FieldError]:
    for dimension in space.dimensions:
        if example(space, dimension.name) is None:
            message = "can never be tried: its conditions exclude each other; change one of them"
            yield FieldError(f"space.{dimension.name}.when", message)


def example(space: Space, name: str, fixed: Values | None = None) -> Values | None:
    """An assignment in which a dimension is active, with these values fixed; None where its conditions exclude each
    other. All others have their first values, but where a condition wants another."""
    wanted: dict[str, tuple[Json, ...]] = {}
    by_name = {d.name: d for d in space.dimensions}
    todo, seen = [name], {name}
    while todo:
        for condition in by_name[todo.pop()].when:
            before = wanted.get(condition.parent, condition.values)
            wanted[condition.parent] = tuple(value for value in before if key(value) in condition.keys)
            todo += {condition.parent} - seen
            seen.add(condition.parent)
    if not all(wanted.values()):
        return None
    chosen = {**{parent: values[0] for parent, values in wanted.items()}, **(fixed or {})}
    return next(space.assignments(lambda d: [chosen[d.name] if d.name in chosen else d.at(0.0)]))


def corners(dimension: Dimension) -> Iterator[tuple[str, Json]]:
    """The values of a dimension that, if the template takes them, it takes all; each with its path below the
    dimension."""
    if dimension.kind == "categorical":
        yield from ((f"values[{n}]", value) for n, value in enumerate(dimension.values))
    else:
        points = dimension.points
        yield "low", points[0] if points is not None else float(dimension.low)
        yield "high", points[-1] if points is not None else float(dimension.high)


def nested(values: Values) -> dict[str, Json]:
    """The assignment as parameters: `hyperparameters.C` becomes a part of the object `hyperparameters`."""
    out: dict[str, Json] = {}
    for name, value in values.items():
        out = deep_merge(out, reduce(lambda below, part: {part: below}, reversed(name.split(".")), value))
    return out
