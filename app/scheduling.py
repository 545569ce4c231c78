"""Settings of the scheduler: its cycle, its promises and shares, and what tenants may hold."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.environment import Group, Seconds, variable


class QuotaSetting(BaseModel):
    """The most that a tenant may hold at once; what is left out is not limited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_cores: float | None = Field(None, ge=0)
    memory_gb: float | None = Field(None, ge=0)
    gpu_count: int | None = Field(None, ge=0)
    storage_gb: float | None = Field(None, ge=0)
    running: int | None = Field(None, ge=0)
    waiting: int | None = Field(None, ge=0)


class TenantSettings(Group):
    """Who submits, and how the pool is shared."""

    header: str | None = variable(
        "TENANT_HEADER",
        "Header of a request that names its tenant, e.g. X-Tenant. Unset: one tenant, `default`. Whoever can reach the "
        "port can name any tenant, so set it behind a gateway that writes it.",
        None,
        pattern=r"^[A-Za-z0-9-]{1,64}$",
    )
    quotas: dict[str, QuotaSetting] = variable(
        "TENANT_QUOTAS",
        'Most a tenant may hold at once as JSON, e.g. {"vision": {"cpu_cores": 16, "running": 8, "waiting": 1000}}.',
        {},
        unit="resources by tenant",
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] = variable(
        "TENANT_WEIGHTS",
        'Fair share as JSON, e.g. {"vision": 2}. A tenant not named weighs 1.',
        {},
        unit="weight by tenant",
    )
    half_life: Seconds = variable(
        "FAIR_HALF_LIFE_SECONDS",
        "Time after which half of what a tenant held counts against it no more.",
        timedelta(hours=1),
        unit="seconds",
    )


class SchedulerSettings(Group):
    """The cycle, its repairs and its promises."""

    interval: Seconds = variable(
        "SCHEDULER_INTERVAL_SECONDS",
        "Longest time between two cycles when nothing wakes the scheduler.",
        timedelta(seconds=1),
        unit="seconds",
    )
    reconcile: Seconds = variable(
        "RECONCILE_SECONDS",
        "Time between two comparisons of index and allocations with MongoDB.",
        timedelta(seconds=5),
        unit="seconds",
    )
    cycle_placements: int = variable(
        "CYCLE_PLACEMENTS", "Most jobs placed in one cycle.", 500, unit="jobs", ge=1, le=10_000
    )
    reservations: int = variable(
        "BACKFILL_RESERVATIONS",
        "Blocked jobs that are promised a node and a latest start at once.",
        4,
        unit="jobs",
        ge=0,
        le=64,
    )
    slack: Seconds = variable(
        "RESERVATION_SLACK_SECONDS",
        "By how much a promised start may be late; more of it lets more short jobs fill the gaps.",
        timedelta(minutes=30),
        unit="seconds",
    )
    ageing: float = variable(
        "AGEING_SHARE",
        "Share of all work dispatched that goes to overdue jobs, whatever their class.",
        0.2,
        unit="fraction",
        ge=0.0,
        le=0.9,
    )
    plan_record: Literal["some", "all", "off"] = variable(
        "PLAN_RECORD",
        "What is kept of each decision of the scheduler, for seven days: `some`, with the snapshot of every hundredth; "
        "`all`, with every snapshot, so that each can be replayed; `off`, nothing.",
        "some",
    )
    preemption: bool = variable(
        "PREEMPTION", "`on`: urgent jobs may have preemptible runs of lower classes make way.", False
    )
    preempt_grace: Seconds = variable(
        "PREEMPT_GRACE_SECONDS",
        "Time that a preempted run has to write its checkpoint before it is killed.",
        timedelta(seconds=30),
        unit="seconds",
    )
