"""When single jobs should start, and where they stand, on a snapshot: one plan, then the forecast behind it.

What the plan places starts now. What it did not place does not, whatever the forecast thinks that knows no promises and
no quotas: then at the earliest when the next run ends. A promise bounds its job's start from above. Positions count the
main order; of a bucket that was not read whole the rest is taken to lie evenly between its last known key and now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.fairness import Shares
from app.domain.nodes import Allocation
from app.domain.priority import RANK, SECOND
from app.domain.queueing import main_order
from app.domain.records import BucketHead
from app.scheduler.forecast import NOT_IN_SIGHT, forecast
from app.scheduler.planner import Placement, Plan, plan, shares_of
from app.scheduler.profile import Live
from app.scheduler.snapshot import RunKey, Snapshot, after_placing

Order = tuple[int, int, float, str]
Group = tuple[int, int]
"""Rank of the class, and band."""
CHUNKS = 8
"""Into so many points the unread rest of a bucket is gathered."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """`starts`: seconds from now by job id, None: not in sight; `positions` from 1; `plan`: what starts now."""

    starts: Mapping[str, float | None]
    positions: Mapping[str, int]
    plan: Plan


def outlook(snapshot: Snapshot, job_ids: Collection[str]) -> Outlook:
    """For these jobs, each of which is a bucket of its own. Those that do not wait are left out."""
    planned = plan(snapshot)
    waiting = {h.bucket_id for h in snapshot.heads}
    wanted = [job_id for job_id in job_ids if job_id in waiting]
    starts: dict[str, float | None] = dict.fromkeys(wanted)
    if not snapshot.paused:
        starts = _starts(snapshot, planned, wanted)
    return Outlook(starts, positions(snapshot, wanted), planned)


def _starts(snapshot: Snapshot, planned: Plan, wanted: Collection[str]) -> dict[str, float | None]:
    at_once = {p.job_id for p in planned.placements}
    after = placed(snapshot, planned)
    expected = forecast(after, 0.0).buckets
    next_end = _next_end(after)
    by = {p.job_id: (p.by - snapshot.now) / SECOND for p in planned.promises}
    starts: dict[str, float | None] = {}
    for job_id in wanted:
        points = expected.get(job_id)
        seconds = None if not points or points[0][1] >= NOT_IN_SIGHT else points[0][1]
        if job_id in at_once:
            seconds = 0.0
        elif seconds is not None:
            seconds = None if next_end is None else max(seconds, next_end)
        if job_id in by and job_id not in at_once:
            seconds = by[job_id] if seconds is None else min(seconds, max(by[job_id], next_end or 0.0))
        starts[job_id] = seconds
    return starts


def placed(snapshot: Snapshot, planned: Plan) -> Snapshot:
    """The snapshot once the plan is carried out."""
    pairs: dict[str, list[tuple[str, Allocation]]] = {}
    live: dict[RunKey, Live] = dict(snapshot.live)
    for p in planned.placements:
        allocation = Allocation(p.job_id, 0, p.vector, p.gpu_indices)
        pairs.setdefault(p.node_id, []).append((p.bucket_id, allocation))
        live[p.job_id, 0] = _begun(p, snapshot.now)
    return replace(after_placing(snapshot, pairs), live=live, promises=planned.promises, credit=planned.credit)


def _begun(placement: Placement, now: int) -> Live:
    demand, bucket = placement.demand, placement.bucket
    return Live(
        job_id=placement.job_id,
        run_no=0,
        tenant=bucket.tenant,
        priority=bucket.priority,
        started=now,
        soft_end=now + demand.cautious,
        hard_end=now + demand.hard,
        mean_end=now + demand.mean,
        preemptible=demand.preemptible,
    )


def _next_end(snapshot: Snapshot) -> float | None:
    """Seconds until the first run should end; None when nothing runs."""
    ends = [max(live.mean_end, snapshot.now) for live in snapshot.live.values()]
    return (min(ends) - snapshot.now) / SECOND if ends else None


def positions(snapshot: Snapshot, wanted: Collection[str], shares: Shares | None = None) -> dict[str, int]:
    """Where each stands in the main order, from 1. Only the classes and bands of those are looked at closely."""
    band = (shares or shares_of(snapshot)).band
    groups: dict[Group, list[BucketHead]] = {}
    groups_of: dict[str, Group] = {}
    for head in snapshot.heads:
        bucket = head.bucket
        group = RANK[bucket.priority], band(bucket.tenant) if bucket.pin is None else bucket.pin
        groups.setdefault(group, []).append(head)
        groups_of[head.bucket_id] = group
    chosen = {job_id for job_id in wanted if job_id in groups_of}
    found: dict[str, int] = {}
    before = 0
    for group, heads in sorted(groups.items()):
        if any(groups_of[job_id] == group for job_id in chosen):
            found |= _within(heads, group[1], snapshot.now, chosen, before)
        before += sum(h.count for h in heads)
    return found


def _within(heads: Sequence[BucketHead], band: int, now: int, chosen: Collection[str], before: float) -> dict[str, int]:
    """The places of the chosen ones among these, when so many stand before all of them."""
    found = {}
    for order, weight in sorted(pair for h in heads for pair in _points(h, band, now)):
        if order[3] in chosen:
            found[order[3]] = round(before) + 1
        before += weight
    return found


def _points(head: BucketHead, band: int, now: int) -> Iterator[tuple[Order, float]]:
    """The members, and the unread rest in a few heaps: where each stands, for how many."""
    bucket = head.bucket
    for member in head.members:
        yield main_order(bucket, band, member.key, member.job_id), 1.0
    unread = head.count - len(head.members)
    if unread > 0 and head.members:
        last = head.members[-1].key
        step = max(0.0, now - last) / (CHUNKS + 1)
        for n in range(CHUNKS):
            yield main_order(bucket, band, last + step * (n + 1), head.bucket_id), unread / CHUNKS
