"""Resource vectors: integers only, so that sums and comparisons are exact.

Outside, a request is in units people use (`cpu_cores`, `memory_gb`, `gpu_count`, `storage_gb`); inside it is a
vector of
millicores, MiB, whole GPUs and GiB. 1 GB = 1,024 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from app.domain.errors import FieldError

DIMENSIONS = ("cpu_cores", "memory_gb", "gpu_count", "storage_gb")
SCALES = (1000, 1024, 1, 1)
"""How many of a vector's units one of each dimension's is."""
_SCALE = dict(zip(DIMENSIONS, SCALES, strict=True))
_FRACTIONS = frozenset({"cpu_cores", "memory_gb"})
ABSURD = {"cpu_cores": 10_000, "memory_gb": 100_000, "gpu_count": 1_024, "storage_gb": 10_000_000}
SMALLEST = {"cpu_cores": 0.001, "memory_gb": 0.001}


@dataclass(frozen=True, slots=True, order=True)
class Vector:
    """An amount of each resource: millicores, MiB, GPUs, GiB. Never negative in a request; free vectors may not go
    below 0."""

    cpu_millicores: int = 0
    memory_mib: int = 0
    gpu: int = 0
    storage_gib: int = 0

    @classmethod
    def from_units(cls, units: Mapping[str, float]) -> Vector:
        """From `{cpu_cores, memory_gb, gpu_count, storage_gb}`; what is missing is 0. Fractions round up."""
        return cls(*(math.ceil(round(units.get(d, 0) * _SCALE[d], 6)) for d in DIMENSIONS))

    def units(self) -> dict[str, float]:
        """As `{cpu_cores, memory_gb, gpu_count, storage_gb}`; whole amounts are integers."""
        return {d: _plain(n / _SCALE[d]) for d, n in zip(DIMENSIONS, self.parts(), strict=True)}

    def parts(self) -> tuple[int, int, int, int]:
        return self.cpu_millicores, self.memory_mib, self.gpu, self.storage_gib

    def __add__(self, other: Vector) -> Vector:
        return Vector(
            self.cpu_millicores + other.cpu_millicores,
            self.memory_mib + other.memory_mib,
            self.gpu + other.gpu,
            self.storage_gib + other.storage_gib,
        )

    def __sub__(self, other: Vector) -> Vector:
        return Vector(
            self.cpu_millicores - other.cpu_millicores,
            self.memory_mib - other.memory_mib,
            self.gpu - other.gpu,
            self.storage_gib - other.storage_gib,
        )

    def fits(self, room: Vector) -> bool:
        """Whether `room` holds at least this much in every dimension."""
        return (
            self.cpu_millicores <= room.cpu_millicores
            and self.memory_mib <= room.memory_mib
            and self.gpu <= room.gpu
            and self.storage_gib <= room.storage_gib
        )

    def times_in(self, room: Vector) -> int:
        """How many of this fit into `room`; a vector of zeros fits a million times."""
        times = 1_000_000
        for need, have in zip(self.parts(), room.parts(), strict=True):
            if need > 0:
                times = min(times, have // need)
        return max(0, times)

    def lacks(self, room: Vector) -> dict[str, float]:
        """Per dimension in which `room` is too small: how much is missing, in units."""
        pairs = zip(DIMENSIONS, self.parts(), room.parts(), strict=True)
        return {d: _plain((need - have) / _SCALE[d]) for d, need, have in pairs if need > have}


DEFAULT_REQUEST: Mapping[str, float] = MappingProxyType(
    {"cpu_cores": 1, "memory_gb": 1, "gpu_count": 0, "storage_gb": 1}
)
"""What a template asks for that says nothing: no job runs without an allocation."""


def total(vectors: Iterator[Vector] | list[Vector] | tuple[Vector, ...]) -> Vector:
    """The sum; zeros for nothing."""
    cpu = memory = gpu = storage = 0
    for vector in vectors:
        cpu += vector.cpu_millicores
        memory += vector.memory_mib
        gpu += vector.gpu
        storage += vector.storage_gib
    return Vector(cpu, memory, gpu, storage)


def _plain(value: float) -> float:
    rounded = round(value, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def request_errors(units: Mapping[str, float], path: str = "resources") -> list[FieldError]:
    """What is wrong with a request in units: negative, NaN, absurd, or a fraction where only whole amounts make
    sense."""
    errors = []
    for name, value in units.items():
        at = f"{path}.{name}"
        if not math.isfinite(value):
            errors.append(FieldError(at, "must be a finite number"))
        elif value < 0:
            errors.append(FieldError(at, f"must not be negative, got {value:g}"))
        elif value > ABSURD[name]:
            errors.append(FieldError(at, f"{value:g} is more than any node can have; at most {ABSURD[name]:,}"))
        elif name not in _FRACTIONS and value != int(value):
            errors.append(FieldError(at, f"must be a whole number, got {value:g}"))
        elif name in SMALLEST and value < SMALLEST[name]:
            errors.append(FieldError(at, f"must be at least {SMALLEST[name]}, got {value:g}"))
    return errors


def largest_misfit(need: Vector, capacities: Sequence[Vector]) -> dict[str, float] | None:
    """None when some node could hold `need` when empty; else per dimension the largest capacity that is too small.

    When every dimension fits on some node but no single node has all, the limits of the node that lacks fewest
    dimensions are named.
    """
    if not capacities or any(need.fits(c) for c in capacities):
        return None
    best = min(capacities, key=lambda c: (len(need.lacks(c)), sum(need.lacks(c).values())))
    largest = Vector(*(max(c.parts()[i] for c in capacities) for i in range(4)))
    missing = need.lacks(largest)
    limits = largest if missing else best
    return {d: limits.units()[d] for d in (missing or need.lacks(best))}
