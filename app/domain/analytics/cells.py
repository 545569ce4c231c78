"""What some runs did, as sums: a cell, which takes runs in and can be added to others.

A cell is filled once and not changed afterwards by whoever gets it; it is no frozen value because a hundred thousand
runs are added to few of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.analytics.histograms import Histogram, add, bucket_of
from app.domain.records import RunSummary
from app.domain.states import JobStatus

COUNTED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.TIMEOUT)
"""Ends of jobs that say whether they succeeded; a cancelled one says nothing."""
_COUNTED = frozenset(COUNTED)


@dataclass(slots=True)
class Cell:
    """Sums over runs. Seconds; cores, MiB, GPUs and GiB times seconds.

    `outcomes` of runs; `failed` runs; `ended`: jobs that their run ended, by state; `retried`: of those that ended by
    themselves, how many needed more than one attempt; `completion_seconds`: from submission, of completed jobs.
    `asked`: in the order of `DIMENSIONS`. `cpu_used` and `memory_used` are of the runs that were measured, for which
    `cpu_asked` and `memory_asked` were allocated; memory counts with its peak.
    """

    runs: int = 0
    failed: int = 0
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

    def add(self, run: RunSummary) -> None:
        """Take a run in."""
        seconds = run.run_seconds
        self.runs += 1
        self.failed += run.fingerprint is not None
        self.wait_seconds += run.wait_seconds
        self.run_seconds += seconds
        self.outcomes[run.outcome] = self.outcomes.get(run.outcome, 0) + 1
        for histogram, value in ((self.waits, run.wait_seconds), (self.times, seconds)):
            bucket = bucket_of(value)
            histogram[bucket] = histogram.get(bucket, 0) + 1
        self._add_use(run, seconds)
        if run.ended_as is not None:
            self._add_end(run, run.ended_as)

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
        self.failed += other.failed
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


def sum_of(cells: Iterable[Cell]) -> Cell:
    """All of them as one. None of them is changed."""
    total = Cell()
    for cell in cells:
        total.merge(cell)
    return total
