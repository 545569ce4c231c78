"""How much a job gets, why, and what its runs used, as answered."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.domain.sizing.evidence import SOURCES
from app.domain.states import EDGES, JobStatus

RUN_ENDS = tuple(dict.fromkeys(e.reason for e in EDGES if e.source is JobStatus.RUNNING and e.reason != "paused"))
"""How a run ends: every edge out of RUNNING but the freeze, under which it lives."""


class Resources(Outgoing):
    """An amount of each resource, in units people use."""

    cpu_cores: float
    memory_gb: float
    gpu_count: float
    storage_gb: float


class ExpectedDuration(Outgoing):
    """How long a run should take, in seconds, as it was expected when the job was submitted."""

    median: float
    mean: float
    cautious: float = Field(description="Nine in ten stay below it.")
    source: Annotated[str, open_enum("history", "prior", "timeout")]
    group: str | None = Field(description="In what the runs that it was learnt from are alike.")
    runs: int = Field(description="How many they are.")


class SizedDuration(Outgoing):
    """Quantiles of how long a run should take, in seconds."""

    q50: float
    q90: float


class SizingPrior(Outgoing):
    """What a run should need by its parameters and its data alone."""

    cpu_cores: float = Field(description="Up to so many are used well.")
    memory_gb: float
    seconds: float = Field(description="On one core.")
    gpu_memory_gb: float | None = Field(description="A hint, of networks on a GPU.")
    features: dict[str, Any] = Field(description="The numbers that it was made of.")


class Alternative(Outgoing):
    """Another amount that could be asked for."""

    resources: Resources
    oom_risk: float = Field(description="How probable it is at most that a run is killed for its memory, 0 to 1.")


class GroupOutcome(Outgoing):
    """What became of the runs that it was learnt from."""

    oom_rate: float = Field(description="Share that was killed for memory.")
    waste: float | None = Field(description="Mean share of the memory that was not used.")


class Sizing(Outgoing):
    """Why a job got its resources when it was submitted. All beside `resources` speaks of what sizing would choose."""

    resources: Resources
    duration: SizedDuration
    source: Annotated[str, open_enum(*SOURCES)] = Field(description="Where the resources came from.")
    suggestion: Resources | None = Field(description="What sizing would have chosen instead of what was asked for.")
    group: str | None = Field(description="In what the runs that it was learnt from are alike.")
    runs: int = Field(description="How many of them ended by themselves.")
    last_run_at: Timestamp | None
    prior: SizingPrior | None
    quantile: float | None = Field(description="Of the runs' needs over their priors.")
    margin: float | None = Field(description="Factor over that.")
    assumed: list[str] = Field(description="What of the data is not known.")
    alternatives: list[Alternative]
    outcome_of_group: GroupOutcome | None


class Used(Outgoing):
    """What a run used; null where it was not measured."""

    cpu_cores: float | None = Field(description="On the average.")
    memory_gb: float | None = Field(description="At most.")


class Advice(Outgoing):
    """What to ask for the next time."""

    resources: Resources
    summary: str


class Attempt(Outgoing):
    """A run that ended."""

    attempt: int
    run_no: int
    node_id: str | None
    started_at: Timestamp | None
    finished_at: Timestamp
    outcome: Annotated[str, open_enum(*RUN_ENDS)]
    peak_memory_mib: float | None
    cpu_seconds: float | None
    asked: Resources | None = Field(description="What it was allotted.")
    used: Used
    suggestion: Advice | None = Field(description="Where asking for something else is worth it.")
