"""The queue index in memory: buckets with their members in order, the overdue by due time.

What the Lua scripts of the service do, as plainly: the resolution of a new bucket goes by how many its class and tenant
have; of a mixed bucket the first and those from a cursor are examined.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.priority import Priority
from app.domain.queueing import MOST_BUCKETS, ROOM, Bucket, Demand, Resolution, Selector, duration_class
from app.domain.records import BucketHead, Member, Waiting
from app.scheduler.snapshot import MIXED_MEMBERS
from bench.sim.jobs import SimJob

NO_LABELS: Selector = ()


@dataclass(slots=True)
class Line:
    """The members of one bucket, by key and id."""

    id: str
    bucket: Bucket
    order: list[tuple[float, str]] = field(default_factory=list)
    cursor: int = 0
    first: BucketHead | None = None

    def head(self, members: Mapping[str, Member], count: int = 1) -> BucketHead:
        """The bucket with its first members, in order."""
        if count == 1 and self.first is not None:
            return self.first
        if self.bucket.resolution is Resolution.MIXED and count > 1:
            found = self._window(min(count, MIXED_MEMBERS))
        else:
            found = self.order[:count]
        head = BucketHead(self.id, self.bucket, len(self.order), tuple(members[job_id] for _, job_id in found))
        self.first = head if count == 1 else self.first
        return head

    def _window(self, count: int) -> list[tuple[float, str]]:
        rest = self.order[1:]
        if len(rest) < count:
            return list(self.order)
        at = self.cursor % len(rest)
        self.cursor = at + count - 1
        return [self.order[0], *sorted((rest[at:] + rest[:at])[: count - 1])]


class Index:
    """Waiting jobs, each in exactly one bucket."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.members: dict[str, Member] = {}
        self._where: dict[str, str] = {}
        self._count: Counter[tuple[Priority, str]] = Counter()
        self._due: list[tuple[float, str]] = []
        self._ids: dict[Bucket, str] = {}

    def __len__(self) -> int:
        return len(self.members)

    def add(self, job: SimJob) -> None:
        """A job begins to wait."""
        line = self._line(exact_bucket(job))
        member = Member(job.id, float(job.submitted), demand_of(job))
        insort(line.order, (member.key, job.id))
        line.first = None
        insort(self._due, (member.demand.due, job.id))
        self.members[job.id], self._where[job.id] = member, line.id

    def remove(self, job_id: str) -> None:
        """It waits no more; an empty bucket goes."""
        member, line = self.members.pop(job_id), self.lines[self._where.pop(job_id)]
        _drop(line.order, (member.key, job_id))
        line.first = None
        _drop(self._due, (member.demand.due, job_id))
        if not line.order:
            del self.lines[line.id]
            self._count[line.bucket.priority, line.bucket.tenant] -= 1

    def heads(self) -> tuple[BucketHead, ...]:
        """Every bucket with its first member, by id."""
        return tuple(self.lines[one].head(self.members) for one in sorted(self.lines))

    def more(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        """Further members of these buckets: id → that many, from the first."""
        return {one: self.lines[one].head(self.members, count).members for one, count in wanted.items()}

    def overdue(self, now: int, most: int) -> tuple[Waiting, ...]:
        """Those whose due time has come, the first so many."""
        end = bisect_left(self._due, (float(now), "￿"))
        return tuple(self.waiting(job_id) for _, job_id in self._due[: min(end, most)])

    def waiting(self, job_id: str) -> Waiting:
        """A waiting job with its bucket. Raises KeyError."""
        line = self.lines[self._where[job_id]]
        return Waiting(line.id, line.bucket, self.members[job_id])

    def place(self, job_id: str) -> int:
        """Its place in its bucket, 1 for the head. Raises KeyError."""
        order = self.lines[self._where[job_id]].order
        return bisect_left(order, (self.members[job_id].key, job_id)) + 1

    def _line(self, exact: Bucket) -> Line:
        owner = exact.priority, exact.tenant
        for resolution in Resolution:
            bucket = exact.at(resolution)
            bucket_id = self._ids.get(bucket) or self._ids.setdefault(bucket, bucket.id)
            if bucket_id in self.lines:
                return self.lines[bucket_id]
            if resolution is Resolution.MIXED or self._may_be_made(owner, resolution):
                self._count[owner] += 1
                return self.lines.setdefault(bucket_id, Line(bucket_id, bucket))
        raise AssertionError("the mixed bucket takes all")

    def _may_be_made(self, owner: tuple[Priority, str], resolution: Resolution) -> bool:
        return self._count[owner] < ROOM[resolution] and len(self.lines) < MOST_BUCKETS


def demand_of(job: SimJob) -> Demand:
    """What the planner is told of a job."""
    times = float(job.submitted), job.mean, job.cautious, job.hard
    return Demand(job.vector, job.priority, *times, NO_LABELS)


def exact_bucket(job: SimJob) -> Bucket:
    return Bucket(job.priority, job.tenant, job.vector, duration=duration_class(job.cautious))


def _drop(order: list[tuple[float, str]], entry: tuple[float, str]) -> None:
    at = bisect_left(order, entry)
    if at == len(order) or order[at] != entry:
        raise KeyError(entry)
    del order[at]
