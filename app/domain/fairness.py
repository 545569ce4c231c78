"""Shares of tenants: how much of the cluster each holds and held, against what it is entitled to.

Weighted dominant resource fairness (Ghodsi et al., NSDI 2011) with a memory, as Slurm's fair-share factor has one.
Tenants sort into bands by their level; inside a class a lower band goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import floor

from app.domain.resources import Vector, total

Held = tuple[float, float, float, float]
"""A decayed mean of what a tenant held, in the units of a vector."""
NOTHING: Held = (0.0, 0.0, 0.0, 0.0)
STEPS = 4
"""Bands to a level of 1: a tenant below its share is in band 0, one at its share in band 4."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant held in the past, as of `at` (µs since 2020)."""

    held: Held
    at: int


def decayed(usage: Usage, allocated: Vector, now: int, half_life: int) -> Usage:
    """The usage at `now` (both times and the half-life in µs), when `allocated` was held since `usage.at`."""
    keep = 0.5 ** (max(0, now - usage.at) / half_life)
    parts = zip(usage.held, allocated.parts(), strict=True)
    cpu, memory, gpu, storage = (h * keep + a * (1.0 - keep) for h, a in parts)
    return Usage((cpu, memory, gpu, storage), max(now, usage.at))


@dataclass(slots=True)
class Shares:
    """Levels and bands while a plan grows. `active`: tenants that run or wait; `weights`: 1 where none is given."""

    capacity: Vector
    weights: Mapping[str, float]
    active: frozenset[str]
    history: Mapping[str, Held] = field(default_factory=dict)
    allocated: dict[str, Vector] = field(default_factory=dict)
    _bands: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        capacity: Vector,
        weights: Mapping[str, float],
        allocated: Iterable[tuple[str, Vector]],
        waiting: Iterable[str],
        history: Mapping[str, Held],
    ) -> Shares:
        """`allocated`: (tenant, vector) of every allocation."""
        held: dict[str, list[Vector]] = {}
        for tenant, vector in allocated:
            held.setdefault(tenant, []).append(vector)
        sums = {tenant: total(vectors) for tenant, vectors in held.items()}
        return cls(capacity, weights, frozenset({*sums, *waiting}), history, sums)

    def add(self, tenant: str, vector: Vector) -> None:
        """A placement: progressive filling, as in DRF."""
        self.allocated[tenant] = self.allocated.get(tenant, Vector()) + vector
        self._bands.pop(tenant, None)

    def entitled(self, tenant: str) -> float:
        """The tenant's share of every dimension, 0–1."""
        whole = sum(self.weights.get(t, 1.0) for t in sorted(self.active))
        return self.weights.get(tenant, 1.0) / whole if whole else 1.0

    def level(self, tenant: str) -> float:
        """Present and past holding over the entitled share, in the dimension where that is most. 1: its share."""
        now = self.allocated.get(tenant, Vector()).parts()
        past = self.history.get(tenant, NOTHING)
        share = 2.0 * self.entitled(tenant)
        levels = [(n + p) / (c * share) for n, p, c in zip(now, past, self.capacity.parts(), strict=True) if c]
        return max(levels, default=0.0)

    def band(self, tenant: str) -> int:
        """0 below the entitled share, then four to each further share. With one active tenant 0: nobody to be fair
        to."""
        if len(self.active) < 2:
            return 0
        if tenant not in self._bands:
            level = self.level(tenant)
            self._bands[tenant] = floor(STEPS * level) if level >= 1.0 else 0
        return self._bands[tenant]
