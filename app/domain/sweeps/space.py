"""Search spaces: dimensions, the conditions between them, and their assignments in a fixed order.

A dimension holds numbers (`int`, `float`, and `log`, a float drawn evenly in its logarithm) or given values
(`categorical`). It is *active* in a trial when each of its conditions holds; an assignment names the active dimensions
only, parents before children, else as declared. A dimension with `step` or `count` is finite, and so are `int` and
`categorical`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

from app.domain.json import Json

Values = Mapping[str, Json]
"""An assignment: the values of the active dimensions by name, in the order of the space."""
DIGITS = 12
"""Significant digits of a number with a fraction, so that 3 steps of 0.1 are 0.3."""
CELLS = 1 << 20
"""Cells of a dimension without steps, where it must be gone through one by one."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when the parent is active and has one of these values."""

    parent: str
    values: tuple[Json, ...]
    keys: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset(map(key, self.values)))

    def holds(self, values: Values) -> bool:
        return self.parent in values and key(values[self.parent]) in self.keys


@dataclass(frozen=True, slots=True)
class Points(Sequence[float]):
    """Numbers at equal distances, in the logarithm where `log`, each made when it is asked for."""

    low: float
    high: float
    size: int
    step: float | None = None
    log: bool = False

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, n: int) -> float: ...
    @overload
    def __getitem__(self, n: slice) -> Sequence[float]: ...
    def __getitem__(self, n: int | slice) -> float | Sequence[float]:
        if isinstance(n, slice):
            return [self[each] for each in range(*n.indices(self.size))]
        if not -self.size <= n < self.size:
            raise IndexError(n)
        return self._number(n % self.size)

    def number_of(self, value: float) -> int:
        """Which of the points this is."""
        if self.step is not None:
            return round((value - self.low) / self.step)
        low, high, at = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return round((at - low) / (high - low) * (self.size - 1))

    def _number(self, n: int) -> float:
        if self.step is not None:
            return rounded(self.low + n * self.step)
        number = between(self.low, self.high, n / (self.size - 1), log=self.log)
        return float(min(self.high, max(self.low, rounded(number))))


@dataclass(frozen=True)
class Dimension:
    """One parameter of the search. `name` may lead into an object: `hyperparameters.C`. Bounds are inclusive."""

    name: str
    kind: str
    low: float = 0
    high: float = 0
    step: float | None = None
    count: int | None = None
    log: bool = False
    values: tuple[Json, ...] = ()
    when: tuple[Condition, ...] = ()

    @cached_property
    def points(self) -> Sequence[Json] | None:
        """All its values in order; None where they are not finite."""
        if self.kind == "categorical":
            return self.values
        if self.kind == "int":
            return range(int(self.low), int(self.high) + 1, int(self.step or 1))
        if self.continuous:
            return None
        count = self.count or steps_between(self.low, self.high, self.step or 1.0)
        return Points(self.low, self.high, count, self.step, log=self.logarithmic)

    @property
    def continuous(self) -> bool:
        """Whether it has no end of values."""
        return self.kind in ("float", "log") and self.step is None and self.count is None

    @property
    def logarithmic(self) -> bool:
        return self.log or self.kind == "log"

    def active(self, values: Values) -> bool:
        return all(condition.holds(values) for condition in self.when)

    def at(self, share: float) -> Json:
        """Its value at a share of its range, `share` in [0, 1): evenly, or evenly in the logarithm."""
        if self.kind == "int" and self.log:
            number = round(between(self.low - 0.5, self.high + 0.5, share, log=True))
            return min(int(self.high), max(int(self.low), number))
        if self.points is not None:
            return self.points[int(share * len(self.points))]
        return self.within(between(self.low, self.high, share, log=self.logarithmic))

    def within(self, number: float) -> float:
        """The number, to so many digits that every machine has the same, and not beyond the bounds."""
        return float(min(self.high, max(self.low, rounded(number))))

    def rotated(self, share: float) -> Iterator[Json]:
        """All its values, or one of each of its cells, from the one at `share` on and round."""
        count = CELLS if self.points is None else len(self.points)
        first = int(share * count)
        for n in range(count):
            turn = (first + n) % count
            yield self.at((turn + 0.5) / count) if self.points is None else self.points[turn]


PointsOf = Callable[[Dimension], Iterable[Json]]
"""The values of a dimension to go through."""


@dataclass(frozen=True)
class Space:
    """Dimensions with parents before children. `parents`: those that conditions name."""

    dimensions: tuple[Dimension, ...]
    parents: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", frozenset(c.parent for d in self.dimensions for c in d.when))

    @classmethod
    def of(cls, declared: Iterable[Dimension]) -> Space:
        """In order. The conditions must hold no cycle and name no stranger (`checks`)."""
        waiting, placed = list(declared), dict[str, Dimension]()
        while waiting:
            ready = next(d for d in waiting if all(c.parent in placed for c in d.when))
            placed[ready.name] = ready
            waiting.remove(ready)
        return cls(tuple(placed.values()))

    def draw(self, share: Callable[[str], float]) -> Values:
        """One assignment; `share` of each active dimension by its name."""
        values: dict[str, Json] = {}
        for dimension in self.dimensions:
            if dimension.active(values):
                values[dimension.name] = dimension.at(share(dimension.name))
        return values

    def assignments(self, points: PointsOf) -> Iterator[Values]:
        """Every assignment over these points, each once; the last dimension changes first."""
        return self._below(0, {}, points)

    def _below(self, n: int, values: dict[str, Json], points: PointsOf) -> Iterator[Values]:
        if n == len(self.dimensions):
            yield dict(values)
        elif not (dimension := self.dimensions[n]).active(values):
            yield from self._below(n + 1, values, points)
        else:
            for value in points(dimension):
                values[dimension.name] = value
                yield from self._below(n + 1, values, points)
            values.pop(dimension.name, None)

    def size(self, most: int) -> int:
        """How many different assignments there are; `most` + 1 where there are more, or no end of them."""
        return min(most + 1, self._size(0, {}, most))

    def _size(self, n: int, values: dict[str, Json], most: int) -> int:
        if n == len(self.dimensions):
            return 1
        dimension = self.dimensions[n]
        if not dimension.active(values):
            return self._size(n + 1, values, most)
        if dimension.points is None:
            return most + 1
        if dimension.name not in self.parents:
            return len(dimension.points) * self._size(n + 1, values, most)
        total = 0
        for value in dimension.points:
            total += self._size(n + 1, {**values, dimension.name: value}, most)
            if total > most:
                break
        return total


def between(low: float, high: float, share: float, *, log: bool) -> float:
    """The number at a share of the way, `share` in [0, 1]."""
    return math.exp(math.log(low) + share * (math.log(high) - math.log(low))) if log else low + share * (high - low)


def steps_between(low: float, high: float, step: float) -> int:
    """How many of low, low + step, … are at most high; what a step misses by rounding counts."""
    return math.floor((high - low) / step * (1 + 1e-12) + 1e-9) + 1


def rounded(number: float) -> float:
    """To `DIGITS` significant digits."""
    return float(f"{number:.{DIGITS}g}")


def key(values: Json) -> str:
    """A text that two assignments, or values, have in common exactly when they are the same: 1, 1.0 and true differ."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
