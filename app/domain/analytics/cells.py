"""What runs of one kind did in a stretch of time, as sums: a cell, which takes runs in and can be added to others.

Runs are of one kind that have tenant, class, template and algorithm in common (`Kind`). A cell is filled once and not
changed afterwards by whoever gets it; it is no frozen value because a hundred thousand runs are added to few of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from app.domain.analytics.histograms import Histogram, add, bucket_of
from app.domain.ids import run_key
from app.domain.records import RunSummary
from app.domain.states import JobStatus

OTHER = "(other)"
"""Stands for a template, algorithm or tenant that is not told apart; no id can be this."""
MOST_KINDS = 200
"""Kinds that a rollup tells apart."""
MOST_PATTERNS = 20
"""Failure patterns that a cell tells apart."""
COUNTED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.TIMEOUT)
"""Ends of jobs that say whether they succeeded; a cancelled one says nothing."""
_COUNTED = frozenset(COUNTED)


class Kind(NamedTuple):
    """By what runs are told apart. `priority`: the class that was asked for."""

    tenant: str
    priority: str
    template: str
    algorithm: str | None


class Seen(NamedTuple):
    """How often a failure pattern occurred, when last, and in which run then (`{job_id}-{run_no}`)."""

    times: int
    at: datetime
    run: str


@dataclass(slots=True)
class Cell:
    """Sums over runs. Seconds; cores, MiB, GPUs and GiB times seconds.

    `outcomes` of runs; `ended`: jobs that their run ended, by state; `retried`: of those that ended by themselves, how
    many needed more than one attempt; `completion_seconds`: from submission, of completed jobs. `asked`: in the order
    of `DIMENSIONS`. `cpu_used` and `memory_used` are of the runs that were measured, for which `cpu_asked` and
    `memory_asked` were allocated; memory counts with its peak.
    """

    runs: int = 0
    retried: int = 0
    wait_seconds: float = 0.0
    run_seconds: float = 0.0
    completion_seconds: float = 0.0
    cpu_used: float = 0.0
    cpu_asked: float = 0.0
    memory_used: float = 0.0
    memory_asked: float = 0.0
    asked: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    outcomes: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    waits: Histogram = field(default_factory=dict)
    times: Histogram = field(default_factory=dict)
    failures: dict[str, Seen] = field(default_factory=dict)

    def add(self, run: RunSummary) -> None:
        """Take a run in."""
        seconds = run.run_seconds
        self.runs += 1
        self.wait_seconds += run.wait_seconds
        self.run_seconds += seconds
        self.outcomes[run.outcome] = self.outcomes.get(run.outcome, 0) + 1
        for histogram, value in ((self.waits, run.wait_seconds), (self.times, seconds)):
            bucket = bucket_of(value)
            histogram[bucket] = histogram.get(bucket, 0) + 1
        self._add_use(run, seconds)
        if run.ended_as is not None:
            self._add_end(run, run.ended_as)
        if run.fingerprint is not None:
            _see(self.failures, run.fingerprint, Seen(1, run.finished_at, run_key(run.job_id, run.run_no)))

    def _add_use(self, run: RunSummary, seconds: float) -> None:
        cpu, memory, gpu, storage = run.asked.parts()
        cores, asked = cpu / 1000 * seconds, self.asked
        asked[0] += cores
        asked[1] += memory * seconds
        asked[2] += gpu * seconds
        asked[3] += storage * seconds
        if run.cpu_seconds is not None:
            self.cpu_used += run.cpu_seconds
            self.cpu_asked += cores
        if run.peak_memory_mib is not None:
            self.memory_used += run.peak_memory_mib * seconds
            self.memory_asked += memory * seconds

    def _add_end(self, run: RunSummary, status: JobStatus) -> None:
        self.ended[status.value] = self.ended.get(status.value, 0) + 1
        self.retried += status in _COUNTED and run.attempt > 1
        if status is JobStatus.COMPLETED:
            self.completion_seconds += run.age_seconds

    def merge(self, other: Cell) -> None:
        """Count the other's too."""
        self.runs += other.runs
        self.retried += other.retried
        self.wait_seconds += other.wait_seconds
        self.run_seconds += other.run_seconds
        self.completion_seconds += other.completion_seconds
        self.cpu_used += other.cpu_used
        self.cpu_asked += other.cpu_asked
        self.memory_used += other.memory_used
        self.memory_asked += other.memory_asked
        self.asked = [mine + theirs for mine, theirs in zip(self.asked, other.asked, strict=True)]
        for mine, theirs in ((self.outcomes, other.outcomes), (self.ended, other.ended)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        add(self.waits, other.waits)
        add(self.times, other.times)
        for fingerprint, seen in other.failures.items():
            _see(self.failures, fingerprint, seen)


Cells = Mapping[Kind, Cell]


def _see(failures: dict[str, Seen], fingerprint: str, seen: Seen) -> None:
    """Add to what is known of a pattern; its newest run is the example."""
    known = failures.get(fingerprint)
    newest = seen if known is None or seen.at >= known.at else known
    failures[fingerprint] = newest._replace(times=seen.times + (known.times if known else 0))


def cells_of(runs: Iterable[RunSummary]) -> dict[Kind, Cell]:
    """The runs by kind."""
    cells: dict[Kind, Cell] = {}
    for run in runs:
        kind = Kind(run.tenant, run.priority.value, run.template, run.algorithm)
        cell = cells.get(kind)
        if cell is None:
            cell = cells[kind] = Cell()
        cell.add(run)
    return cells


def sum_of(cells: Iterable[Cell]) -> Cell:
    """All of them as one."""
    total = Cell()
    for cell in cells:
        total.merge(cell)
    return total


def merged(pairs: Iterable[tuple[Kind, Cell]]) -> dict[Kind, Cell]:
    """Cells added where they are of one kind. None of the given is changed."""
    found: dict[Kind, Cell] = {}
    for kind, cell in pairs:
        found.setdefault(kind, Cell()).merge(cell)
    return found


def bounded(cells: Cells, most: int = MOST_KINDS) -> dict[Kind, Cell]:
    """At most so many kinds, and one more a class: of the less frequent first the templates and algorithms are no
    longer told apart, then the tenants. Each keeps its most frequent failure patterns. The cells are used up."""
    found = dict(cells)
    for coarser in (_of_tenant, _of_class):
        if len(found) > most:
            ordered = sorted(found.items(), key=lambda pair: (-pair[1].runs, pair[0][:3], pair[0].algorithm or ""))
            found = merged([*ordered[:most], *((coarser(kind), cell) for kind, cell in ordered[most:])])
    for cell in found.values():
        cell.failures = most_frequent(cell.failures, MOST_PATTERNS)
    return found


def _of_tenant(kind: Kind) -> Kind:
    return Kind(kind.tenant, kind.priority, OTHER, None)


def _of_class(kind: Kind) -> Kind:
    return Kind(OTHER, kind.priority, OTHER, None)


def most_frequent(failures: Mapping[str, Seen], most: int) -> dict[str, Seen]:
    """So many patterns; the others are one, under `OTHER`."""
    named = sorted(((f, s) for f, s in failures.items() if f != OTHER), key=lambda pair: (-pair[1].times, pair[0]))
    kept = dict(named[:most])
    rest = [seen for _, seen in named[most:]] + ([failures[OTHER]] if OTHER in failures else [])
    for seen in rest:
        _see(kept, OTHER, seen)
    return kept
