"""A snapshot in which some waiting jobs are set out singly, so that changes of them can be supposed and followed.

A job that is set out leaves its bucket and is one of its own, with its exact demand. The plan stays the same: that the
heads of buckets give the plan of a scan of each single job is what buckets rest on. A scene is never changed; each
change makes another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.fairness import Shares
from app.domain.nodes import Node
from app.domain.queueing import Bucket, duration_class
from app.domain.records import BucketHead, Member, Waiting
from app.domain.resources import total
from app.scheduler.planner import shares_of
from app.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Scene:
    """`base`: the snapshot without the jobs that are set out; `jobs`: those, by id, each in a bucket named as it;
    `promised`: ids of jobs that hold promises; `shares`: of tenants, as they were before any change."""

    base: Snapshot
    jobs: Mapping[str, Waiting]
    promised: frozenset[str]
    shares: Shares

    def runs(self, job_id: str) -> bool:
        """Whether the job holds an allocation."""
        return any(_holds(n, job_id) for n in self.base.nodes)

    @property
    def snapshot(self) -> Snapshot:
        """All of it as one snapshot."""
        jobs = sorted(self.jobs.items())
        heads = (BucketHead(job_id, w.bucket, 1, (w.member,)) for job_id, w in jobs)
        overdue = (w for _, w in jobs if w.member.demand.due <= self.base.now)
        lane = sorted((*self.base.lane, *overdue), key=lambda w: (w.member.demand.due, w.member.job_id))
        promised = {job_id: w for job_id, w in jobs if job_id in self.promised}
        base = self.base
        return replace(base, heads=(*base.heads, *heads), lane=tuple(lane), promised={**base.promised, **promised})

    def with_job(self, waiting: Waiting) -> Scene:
        """With this job, new or in place of what it was."""
        job_id = waiting.member.job_id
        return replace(self, jobs={**self.jobs, job_id: replace(waiting, bucket_id=job_id)})

    def without_job(self, job_id: str) -> Scene:
        return replace(self, jobs={k: w for k, w in self.jobs.items() if k != job_id})

    def with_nodes(self, nodes: Iterable[Node]) -> Scene:
        """With these nodes, new or in place of what they were."""
        known = {n.id: n for n in self.base.nodes} | {n.id: n for n in nodes}
        return replace(self, base=replace(self.base, nodes=tuple(known[k] for k in sorted(known))))

    def without_run(self, job_id: str) -> Scene:
        """As when the run of that job ended now."""
        return self.with_nodes([without(n, job_id) for n in self.base.nodes if _holds(n, job_id)])


def without(node: Node, job_id: str) -> Node:
    """The node without what that job holds of it."""
    rest = tuple(a for a in node.allocations if a.job_id != job_id)
    return replace(node, free=node.capacity - total([a.vector for a in rest]), allocations=rest)


def _holds(node: Node, job_id: str) -> bool:
    return any(a.job_id == job_id for a in node.allocations)


def set_out(snapshot: Snapshot, waiting: Iterable[Waiting], shares: Shares | None = None) -> Scene:
    """The snapshot with these of its waiting jobs set out. `shares`: those of the snapshot, where they are known."""
    chosen = list(waiting)
    jobs = {w.member.job_id: replace(w, bucket_id=w.member.job_id, bucket=exact(w)) for w in chosen}
    gone: dict[str, set[str]] = {}
    for w in chosen:
        gone.setdefault(w.bucket_id, set()).add(w.member.job_id)
    heads = (_less(h, gone[h.bucket_id]) if h.bucket_id in gone else h for h in snapshot.heads)
    lane = tuple(w for w in snapshot.lane if w.member.job_id not in jobs)
    promised = {k: w for k, w in snapshot.promised.items() if k not in jobs}
    base = replace(snapshot, heads=tuple(h for h in heads if h.count > 0), lane=lane, promised=promised)
    return Scene(base, jobs, frozenset(snapshot.promised) & jobs.keys(), shares or shares_of(snapshot))


def exact(waiting: Waiting) -> Bucket:
    """The bucket of a job by its exact demand, whatever bucket it waits in."""
    demand, bucket = waiting.member.demand, waiting.bucket
    own = duration_class(demand.cautious)
    return Bucket(bucket.priority, bucket.tenant, demand.vector, demand.selector, demand.alone, bucket.pin, own)


def _less(head: BucketHead, gone: set[str]) -> BucketHead:
    """A bucket without these. One whose known members are all gone keeps a stand-in for those behind them."""
    rest = tuple(m for m in head.members if m.job_id not in gone)
    count = head.count - len(gone)
    if not rest and count > 0 and head.members:
        last = head.members[-1]
        rest = (Member(f"{head.bucket_id}~", last.key, last.demand),)
    return replace(head, count=count, members=rest)
