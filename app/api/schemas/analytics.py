"""What the service has measured."""

from typing import Annotated

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum
from app.api.schemas.estimates import StartEstimates
from app.domain.analytics.series import CATALOGUE
from app.domain.explain import WAIT_CODES
from app.domain.sizing.evidence import SOURCES
from app.domain.sizing.measures import RULES


class AnalyticsWindow(Outgoing):
    """What was asked about. It begins at a whole minute, for more than two days at a whole hour."""

    from_: Timestamp = Field(alias="from")
    to: Timestamp
    seconds: float = Field(description="Its length, by which rates are divided.")
    settled_to: Timestamp | None = Field(
        description="Until when everything is counted; what ended later may be missing for some seconds. Null before "
        "anything was counted."
    )


class DurationSpread(Outgoing):
    """Of durations in seconds: the mean is exact, the percentiles are within 5 %. Null without a run."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None


class Throughput(Outgoing):
    """How much was done, and how long it took. The first three are 0 where nothing was done."""

    jobs_per_hour: float = Field(description="Jobs that were completed, by the hours of the window.")
    avg_completion_time: float = Field(description="Mean seconds from the submission to the end of completed jobs.")
    queue_wait_time: float = Field(description="Mean seconds from queued to started, of the runs that ended.")
    completed_jobs: int
    ended_runs: int = Field(description="Runs that ended, however: a job may have several.")
    wait: DurationSpread = Field(description="From queued to started, of the runs that ended.")
    run: DurationSpread = Field(description="From start to end.")


class PoolShare(Outgoing):
    """Of one resource: means over the samples, in units people use. Null without a sample."""

    capacity: float | None = Field(description="Of the nodes that are not lost.")
    allocated: float | None
    used: float | None = Field(description="As the nodes measure their runs; null where nobody measures it.")
    utilization: float | None = Field(description="Allocated, as a share of the capacity.")


class PoolShares(Outgoing):
    """By resource."""

    cpu_cores: PoolShare
    memory_gb: PoolShare
    gpu_count: PoolShare
    storage_gb: PoolShare


class ResourceUse(Outgoing):
    """Of one resource, over runs that ended: core hours, GB hours, and so on. Memory counts with its peak."""

    allocated_hours: float
    used_hours: float | None = Field(description="Null where nobody measures it.")
    used_share: float | None = Field(
        description="Used, as a share of what was allocated to the runs that were measured."
    )


class ResourceUses(Outgoing):
    """By resource."""

    cpu_cores: ResourceUse
    memory_gb: ResourceUse
    gpu_count: ResourceUse
    storage_gb: ResourceUse


class ResourceUtilization(Outgoing):
    """What was allocated beside what was used. The first three are 0 without a sample."""

    cpu_utilization: float = Field(description="Share of all cores that was allocated, over the window.")
    memory_utilization: float
    gpu_utilization: float
    samples: int = Field(description="Minutes in which it was looked how the nodes stand.")
    pool: PoolShares
    finished_runs: ResourceUses


class FailureGroup(Outgoing):
    """Failures that are alike: of one type, step, message but for numbers, ids and folders, and place in the code."""

    fingerprint: str = Field(description="As `error.fingerprint` of a job.")
    type: str | None = Field(description="Of the exception, else `signal 11`, `exit 3`, or the failure's code.")
    step: str | None
    message: str | None = Field(description="What the messages have in common; `#` stands for what differs.")
    frame: str | None = Field(description="`file:function` where it was raised.")
    outcome: str | None = Field(description="Of the example.")
    template: str | None = Field(description="Of the example.")
    runs: int = Field(description="How many failed so.")
    share: float = Field(description="Of all runs that failed.")
    last_at: Timestamp
    example_job_id: str = Field(description="The job of the newest of them.")
    example_run_no: int


class JobEnds(Outgoing):
    """Jobs that a run ended, by state. One that ended without a run is not counted."""

    COMPLETED: int
    FAILED: int
    TIMEOUT: int
    CANCELLED: int


class SuccessMetrics(Outgoing):
    """How jobs ended. The rates are 0 where none ended."""

    success_rate: float = Field(description="COMPLETED, of COMPLETED, FAILED and TIMEOUT; cancelled ones say nothing.")
    retry_rate: float = Field(description="Jobs that needed more than one attempt, of the same.")
    failure_analysis: list[FailureGroup] = Field(description="The twenty most frequent, the most frequent first.")
    jobs: int = Field(description="COMPLETED, FAILED and TIMEOUT.")
    ended: JobEnds
    failed_runs: int = Field(description="Runs that failed, also where a retry followed.")
    other_failures: int = Field(description="Those of them that are in no group shown.")


class AnalyticsGroup(Outgoing):
    """Runs that have one thing in common. `(other)` stands for what is not told apart."""

    name: str
    runs: int
    completed_jobs: int
    success_rate: float | None
    retry_rate: float | None
    out_of_memory_rate: float | None = Field(description="Runs ended for want of memory, of these and the completed.")
    wait: DurationSpread
    run: DurationSpread
    use: ResourceUses


class AnalyticsGroups(Outgoing):
    """The same figures by class, template, algorithm and tenant, those with most runs first, at most fifty."""

    class_: list[AnalyticsGroup] = Field(alias="class")
    template: list[AnalyticsGroup]
    algorithm: list[AnalyticsGroup]
    tenant: list[AnalyticsGroup]


class WaitShare(Outgoing):
    """How much of all waiting a reason decided. Looked at once a minute, each look stands for its minute."""

    reason: Annotated[str, open_enum(*WAIT_CODES)]
    waiting_seconds: float = Field(description="Summed over the jobs that waited.")
    share: float
    mean_jobs: float = Field(description="Jobs that waited for it, on average over the samples.")


class MemoryAllocated(Outgoing):
    """What was allocated."""

    waste: float | None = Field(description="Mean of (allocated − peak) / allocated, over completed runs.")
    out_of_memory_rate: float | None


class MemoryBySource(Outgoing):
    """What was allocated, by where the amount came from."""

    source: Annotated[str, open_enum(*SOURCES)] = Field(description="As `sizing.source` of a job.")
    runs: int
    waste: float | None
    out_of_memory_rate: float | None


class MemoryRule(Outgoing):
    """What a simple rule would have allocated to the same runs: the waste of those that would have lived, and the share
    of those that would not."""

    rule: Annotated[str, open_enum(*RULES)] = Field(
        description="From the needs of earlier runs of the same kind: `window_maximum` is 1.1 × the largest of the "
        "last 20, `vpa_p90` 1.15 × the 90th percentile of all, at least 250 MiB."
    )
    waste: float | None
    out_of_memory_rate: float | None


class MemoryReview(Outgoing):
    """How well memory was allocated, against simple rules, over the newest runs that completed or were ended for want
    of memory. Compared are those with at least five before them of the same tenant, template, algorithm and data set.
    """

    examined_runs: int
    compared_runs: int
    allocated: MemoryAllocated
    sources: list[MemoryBySource]
    baselines: list[MemoryRule]


class Analytics(Outgoing):
    """What was measured in a window. Seconds, and fractions of 1."""

    window: AnalyticsWindow
    throughput: Throughput
    resource_utilization: ResourceUtilization
    success_metrics: SuccessMetrics
    groups: AnalyticsGroups
    waits: list[WaitShare]
    sizing: MemoryReview
    start_estimates: StartEstimates


class AnalyticsSeries(Outgoing):
    """One series: a value for each of the times, null where nothing is known."""

    metric: Annotated[str, open_enum(*CATALOGUE)]
    unit: str
    values: list[float | None]


class AnalyticsTimeseries(Outgoing):
    """Series over equal steps."""

    window: AnalyticsWindow
    step_seconds: float
    times: list[Timestamp] = Field(description="The beginning of each step; the last may still be going on.")
    series: list[AnalyticsSeries]
