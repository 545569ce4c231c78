"""What keeps coming: by bucket how many jobs came lately, in steps, so that what is over is forgotten at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.capacity.fleet import Stream
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Request
from app.domain.records import BucketHead

STEPS = 15
MOST = 256
"""Buckets that are remembered: those to which most came."""
Came = Mapping[str, tuple[BucketHead, int]]
"""By bucket: its last head, and how many came."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """So many jobs came in the step that ended at `at`."""

    at: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Jobs that came to a bucket. `mean`: seconds that one runs."""

    bucket_id: str
    priority: Priority
    request: Request
    mean: float
    steps: tuple[Arrived, ...]

    @property
    def jobs(self) -> int:
        return sum(step.jobs for step in self.steps)


def folded(rates: Iterable[Rate], came: Came, now: int, span: float) -> tuple[Rate, ...]:
    """With these, and without what came more than `span` seconds ago."""
    length = max(1, round(span * SECOND / STEPS))
    end, oldest = (now // length + 1) * length, now - round(span * SECOND)
    known = {r.bucket_id: replace(r, steps=tuple(s for s in r.steps if s.at > oldest)) for r in rates}
    for bucket_id, (head, jobs) in came.items():
        before = known[bucket_id].steps if bucket_id in known else ()
        known[bucket_id] = _rate(bucket_id, head, _with(before, Arrived(end, jobs)))
    lively = (r for r in known.values() if r.jobs)
    return tuple(sorted(lively, key=lambda r: (-r.jobs, r.bucket_id))[:MOST])


def streams(rates: Iterable[Rate], span: float) -> tuple[Stream, ...]:
    """The same as means, as decisions have it. One job alone is no stream."""
    return tuple(Stream(r.priority, r.request, r.mean, r.jobs / span) for r in rates if r.jobs > 1)


def _with(steps: tuple[Arrived, ...], new: Arrived) -> tuple[Arrived, ...]:
    if steps and steps[-1].at == new.at:
        return (*steps[:-1], Arrived(new.at, steps[-1].jobs + new.jobs))
    return (*steps, new)


def _rate(bucket_id: str, head: BucketHead, steps: tuple[Arrived, ...]) -> Rate:
    demand = head.members[0].demand
    return Rate(bucket_id, head.bucket.priority, demand.request, demand.mean / SECOND, steps)
