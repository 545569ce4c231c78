"""What a job's runs leave behind: log lines, metric points, artifacts."""

from typing import Annotated

from pydantic import Field

from app.api.schemas.base import Outgoing, Timestamp, open_enum


class LogLine(Outgoing):
    """A line of a run's log; `n` counts within the run from 1."""

    n: int
    at: Timestamp
    step: str | None
    stream: Annotated[str, open_enum("stdout", "stderr", "log")]
    text: str


class JobLogs(Outgoing):
    """Lines of one run."""

    job_id: str
    run_no: int
    lines: list[LogLine]
    next_after: int | None = Field(
        description="Send it as `after` for the lines that follow; null when there are none yet."
    )


class MetricPoint(Outgoing):
    """A value of a metric at step `n` of the run (an epoch, a tree, a fold)."""

    n: int | None
    value: float | None
    step: str | None
    at: Timestamp


class JobMetricSeries(Outgoing):
    """Metric series of one run by name, ascending, thinned out so that extremes stay."""

    job_id: str
    run_no: int
    metrics: dict[str, list[MetricPoint]]


class Artifact(Outgoing):
    """A stored file. `size` in bytes."""

    name: str
    run_no: int
    size: int
    sha256: str
    content_type: str
    stored_at: Timestamp


class ArtifactList(Outgoing):
    """What the runs of a job stored; of each name the newest."""

    artifacts: list[Artifact]
