"""What runs leave behind, as protocols: summaries, logs, metric points, artifacts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from app.domain.analytics.needs import Need
from app.domain.analytics.rollups import Gauges, Rollup
from app.domain.analytics.windows import Span
from app.domain.records import ArtifactInfo, LogLine, MetricPoint, RunSummary
from app.domain.sizing.kinship import Group
from app.domain.sizing.residuals import PastRun


class RunStore(Protocol):
    async def insert(self, summary: RunSummary) -> None:
        """Once per (job, run_no); group commit."""

    async def alike(self, group: Group, limit: int = 150) -> list[PastRun]:
        """The newest runs of the group that tell of durations or memory (`TELLING`), newest first. No name is read but
        that of the data, and that only of a tenant's own runs."""

    async def completed_by_node(self) -> dict[str, int]:
        """How many runs completed on each node, ever; a node without any is left out."""

    async def first_end(self) -> datetime | None:
        """When the first run that is known of ended."""

    async def ends_by_minute(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        """How many runs ended in each minute of [begin, end); a minute without any is left out."""

    def ended(self, begin: datetime, end: datetime, batch: int = 500) -> AsyncIterator[list[RunSummary]]:
        """Those that ended in [begin, end) and can be read, in the order of their ends, so many at a time."""

    async def get_many(self, keys: Iterable[str]) -> dict[str, RunSummary]:
        """Those that exist, by `{job_id}-{run_no}`."""

    async def needs(self, since: datetime, tenant: str | None, limit: int) -> list[Need]:
        """What the newest runs needed that ended since then, completed or for want of memory, oldest first; of one
        tenant, or of all."""


class RollupStore(Protocol):
    """What happened in each minute, hour and day. A rollup is gone when it has been kept long enough."""

    async def put(self, rollups: Sequence[Rollup], now: datetime) -> None:
        """Each in place of what was there. Of a minute only the runs: what was seen in it stays, and a rollup without
        runs or gauges is none."""

    async def see(self, at: datetime, gauges: Gauges, now: datetime) -> None:
        """What was seen in the minute that begins then, in place of what was seen in it before."""

    async def counted(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        """Of how many runs each minute of [begin, end) is made; a minute that is made of none is left out."""

    async def read(
        self, spans: Sequence[Span], whose: str, gauges: Collection[str] = (), *, totals: bool = False
    ) -> list[Rollup]:
        """Everyone's or a tenant's rollups in these spans, by time, with these gauges. `totals`: of the runs no more
        than the total."""

    async def whose(self, span: Span) -> list[str]:
        """Whose rollups there are in it."""

    async def settled(self) -> datetime | None:
        """Until when every minute is made, and every hour and day that ended by then; None before any."""

    async def settle(self, at: datetime) -> None:
        """From now on it is this. Going back only means that what was made is made again."""


class LogStore(Protocol):
    """A store adds nothing to a log but a line for each gap in the numbers that it tells (`with_cuts`)."""

    async def append(self, job_id: str, run_no: int, lines: Sequence[LogLine]) -> None:
        """Lines that ascend. Appending the same lines again is nothing."""

    async def delete_between(self, job_id: str, run_no: int, after: int, before: int) -> None:
        """Delete what was appended in one call with all its numbers between these two, neither of them included."""

    async def read(
        self, job_id: str, run_no: int | None = None, *, after: int = 0, step: str | None = None, limit: int = 1_000
    ) -> list[LogLine]:
        """Lines of a run (the newest when None) with `n` above `after`, ascending; gaps are said."""

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        """Everything of these jobs."""


class MetricStore(Protocol):
    async def append(self, job_id: str, run_no: int, points: Sequence[MetricPoint]) -> None: ...

    async def read(
        self, job_id: str, names: Iterable[str] = (), run_no: int | None = None
    ) -> dict[str, list[MetricPoint]]:
        """Series by metric name, ascending."""

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        """Everything of these jobs."""


class ArtifactStore(Protocol):
    async def put(self, info: ArtifactInfo, source: Path) -> None:
        """Stored whole or not at all; the same name of a later run hides the earlier one."""

    async def list(self, job_id: str, kind: str = "artifact") -> list[ArtifactInfo]: ...

    async def get(self, job_id: str, name: str, kind: str = "artifact") -> ArtifactInfo | None: ...

    def read(self, info: ArtifactInfo, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes [start, stop) in blocks, of these contents alone: raises NotFound when they are replaced or gone.
        Without `stop` to the end, and of what has replaced them where that comes first."""

    async def delete_of(self, job_ids: Sequence[str], kind: str | None = None) -> None:
        """Everything of these jobs: of that kind, or of every kind."""

    async def owners(self, after: str, limit: int) -> Sequence[str]:
        """Ids of jobs that have something stored, ascending from beyond `after` on."""

    async def delete_unfinished(self, before: datetime, limit: int) -> int:
        """Delete what a put that was cut off before then left behind. Answers how many files.

        At most `limit` files are looked at; the next call goes on from there, round and round.
        """
