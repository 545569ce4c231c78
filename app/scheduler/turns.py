"""In which order waiting jobs are considered: overdue ones while they have credit, else heads of buckets by class, band
and key.

Invariant: a bucket's next member enters only when its predecessor was placed or got a promise. What did not fit once in
a cycle never fits later in it (free resources only fall, promises only grow), so this gives the same plan as a scan of
the whole queue, at the cost of the heads alone. Members of a mixed bucket are alike in nothing, so each has its turn.

Bands rise while a plan grows and never fall: an entry whose band has risen is put back where it now belongs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.domain.priority import RANK
from app.domain.queueing import Bucket, Resolution
from app.domain.records import BucketHead, Member, Waiting

Turn = tuple[int, int, int, float, str]
"""Class, band, class of duration (0 unless short jobs go first), key, id."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The member of a bucket whose turn it is: the `index`-th that was read of it, None when it comes from the lane."""

    bucket_id: str
    bucket: Bucket
    member: Member
    number: int
    index: int | None

    @property
    def from_lane(self) -> bool:
        return self.index is None


class Turns:
    """`next` takes the first; `enter_successor` lets the next of its bucket in."""

    def __init__(self, heads: Sequence[BucketHead], lane: Sequence[Waiting], band: Callable[[str], int]) -> None:
        self._heads = heads
        self._lane = lane
        self._band = band
        self._in_lane = 0
        self._short_first = False
        self._done: set[str] = set()
        self._heap = [self._entry(n, 0) for n, head in enumerate(heads) if head.members]
        heapq.heapify(self._heap)

    def next(self, *, lane_open: bool) -> Candidate | None:
        """The first in order, taken out; None when there are no more."""
        if lane_open:
            while self._in_lane < len(self._lane):
                overdue = self._lane[self._in_lane]
                self._in_lane += 1
                if overdue.member.job_id not in self._done:
                    return Candidate(overdue.bucket_id, overdue.bucket, overdue.member, -1, None)
        while self._heap:
            turn, n, index = heapq.heappop(self._heap)
            head = self._heads[n]
            member = head.members[index]
            if member.job_id in self._done:
                self._enter(n, index + 1)
            elif turn[1] < self._band_of(head.bucket):
                heapq.heappush(self._heap, self._entry(n, index))
            else:
                return Candidate(head.bucket_id, head.bucket, member, n, index)
        return None

    def placed(self, candidate: Candidate) -> None:
        """It has its place, and waits no more."""
        self._done.add(candidate.member.job_id)
        self.enter_successor(candidate)

    def enter_successor(self, candidate: Candidate) -> None:
        """Let in the next member of the candidate's bucket."""
        if candidate.index is not None:
            self._enter(candidate.number, candidate.index + 1)

    def blocked(self, candidate: Candidate) -> None:
        """It found no room: nor would its successors, unless the bucket is a mixed one."""
        if candidate.bucket.resolution is Resolution.MIXED:
            self.enter_successor(candidate)

    def again(self, candidates: Iterable[Candidate]) -> None:
        """Let these in once more, but for those of mixed buckets, whose successors have had their turns."""
        for candidate in candidates:
            if candidate.index is not None and candidate.bucket.resolution is not Resolution.MIXED:
                self._enter(candidate.number, candidate.index)

    def backfill(self) -> None:
        """From now on short ones go first within class and band."""
        self._short_first = True
        self._heap = [self._entry(n, index) for _, n, index in self._heap]
        heapq.heapify(self._heap)

    def _enter(self, n: int, index: int) -> None:
        if index < len(self._heads[n].members):
            heapq.heappush(self._heap, self._entry(n, index))

    def _band_of(self, bucket: Bucket) -> int:
        return self._band(bucket.tenant) if bucket.pin is None else bucket.pin

    def _entry(self, n: int, index: int) -> tuple[Turn, int, int]:
        head = self._heads[n]
        bucket, member = head.bucket, head.members[index]
        duration = bucket.duration if self._short_first else 0
        return (RANK[bucket.priority], self._band_of(bucket), duration, member.key, member.job_id), n, index
