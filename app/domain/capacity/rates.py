"""What keeps coming: by bucket how many jobs a second, older arrivals counting less and less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.capacity.fleet import Stream
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Request
from app.domain.records import BucketHead

MEMORY = 900.0
"""Seconds after which an arrival counts half."""
MOST = 256
FORGOTTEN = 1e-6
"""Jobs a second, one in two weeks, below which a bucket is forgotten."""
Came = Mapping[str, tuple[BucketHead, int]]
"""By bucket: its last head, and how many came."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`mean`: seconds that one runs; `per_second`: how many come."""

    bucket_id: str
    priority: Priority
    request: Request
    mean: float
    per_second: float


def folded(rates: Iterable[Rate], came: Came, passed: float) -> tuple[Rate, ...]:
    """The rates after so many seconds in which these came: of at most so many buckets, those with most."""
    if passed <= 0:
        return tuple(rates)
    keep = 0.5 ** (passed / MEMORY)
    known = {r.bucket_id: replace(r, per_second=r.per_second * keep) for r in rates}
    for bucket_id, (head, count) in came.items():
        before = known[bucket_id].per_second if bucket_id in known else 0.0
        known[bucket_id] = _rate(head, before + count / passed * (1.0 - keep))
    lively = (r for r in known.values() if r.per_second > FORGOTTEN)
    return tuple(sorted(lively, key=lambda r: (-r.per_second, r.bucket_id))[:MOST])


def streams(rates: Iterable[Rate]) -> tuple[Stream, ...]:
    """The same, as decisions have it."""
    return tuple(Stream(r.priority, r.request, r.mean, r.per_second) for r in rates)


def _rate(head: BucketHead, per_second: float) -> Rate:
    demand = head.members[0].demand
    return Rate(head.bucket_id, head.bucket.priority, demand.request, demand.mean / SECOND, per_second)
