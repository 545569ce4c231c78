"""What an operator sets of scheduling, as the planner has it: times in microseconds, amounts in vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from app.config import Settings
from app.domain.priority import SECOND
from app.domain.resources import SCALES, Vector
from app.scheduling import QuotaSetting


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that a tenant may hold; None: any amount. `vector`: per dimension, in a vector's units."""

    vector: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    running: int | None = None
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """`reservations`: blocked jobs that get a promise; `slack`: by how much a promise may be late; `ageing`: share of
    all cost that goes to overdue jobs; `slots`: most allocations over all nodes, 0 for no limit."""

    slots: int = 0
    placements: int = 500
    reservations: int = 4
    slack: int = 1_800 * SECOND
    ageing: float = 0.2
    weights: Mapping[str, float] = field(default_factory=dict)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    half_life: int = 3_600 * SECOND
    preemption: bool = False
    preempt_grace: int = 30 * SECOND


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings make."""
    scheduler, tenants = settings.scheduler, settings.tenants
    return Rules(
        slots=settings.limits.max_concurrent_jobs,
        placements=scheduler.cycle_placements,
        reservations=scheduler.reservations,
        slack=_micros(scheduler.slack),
        ageing=scheduler.ageing,
        weights=tenants.weights,
        quotas={tenant: _quota(quota) for tenant, quota in tenants.quotas.items()},
        half_life=_micros(tenants.half_life),
        preemption=scheduler.preemption,
        preempt_grace=_micros(scheduler.preempt_grace),
    )


def _micros(time: timedelta) -> int:
    return round(time.total_seconds() * SECOND)


def _quota(setting: QuotaSetting) -> Quota:
    amounts = (setting.cpu_cores, setting.memory_gb, setting.gpu_count, setting.storage_gb)
    cpu, memory, gpu, storage = (
        None if amount is None else round(amount * scale) for amount, scale in zip(amounts, SCALES, strict=True)
    )
    return Quota((cpu, memory, gpu, storage), setting.running, setting.waiting)


class QuotaGate:
    """What tenants hold while a plan grows, against their quotas."""

    def __init__(self, quotas: Mapping[str, Quota], held: Mapping[str, Vector], running: Mapping[str, int]) -> None:
        self._quotas = quotas
        self._held = dict(held)
        self._running = dict(running)

    def exceeded(self, tenant: str, vector: Vector) -> tuple[int | None, int, int] | None:
        """What a placement would exceed, or None: (number of the dimension, None for the number of runs; what is held
        and would be asked; the limit)."""
        quota = self._quotas.get(tenant)
        if quota is None:
            return None
        after = self._held.get(tenant, Vector()) + vector
        for n, (limit, amount) in enumerate(zip(quota.vector, after.parts(), strict=True)):
            if limit is not None and amount > limit and vector.parts()[n]:
                return n, amount, limit
        runs = self._running.get(tenant, 0) + 1
        return (None, runs, quota.running) if quota.running is not None and runs > quota.running else None

    def add(self, tenant: str, vector: Vector) -> None:
        """A placement."""
        self._held[tenant] = self._held.get(tenant, Vector()) + vector
        self._running[tenant] = self._running.get(tenant, 0) + 1
