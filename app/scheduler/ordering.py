"""In which order waiting jobs are considered: a heap over the heads of buckets.

Invariant: a bucket's next member enters only after its predecessor was placed. What did not fit once in a cycle never
fits later in it (free resources only fall), so this gives the same plan as a scan of the whole queue, at the cost of
the heads alone. The order itself is `app.domain.queueing.main_order`; ageing and fairness change that, not this heap.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.queueing import Bucket, main_order
from app.domain.records import BucketHead, Member


@dataclass(frozen=True, slots=True)
class Candidate:
    """The member of a bucket whose turn it is: the `index`-th that was read, of the `number`-th bucket."""

    head: BucketHead
    member: Member
    number: int
    index: int

    @property
    def bucket(self) -> Bucket:
        return self.head.bucket


class Candidates:
    """Heads in main order. `next` takes the first; `placed` lets its successor in."""

    def __init__(self, heads: Sequence[BucketHead]) -> None:
        self._heads = heads
        self._heap = [self._entry(n, 0) for n, head in enumerate(heads) if head.members]
        heapq.heapify(self._heap)

    def next(self) -> Candidate | None:
        """The first in order, taken out; None when there are no more."""
        if not self._heap:
            return None
        _, n, index = heapq.heappop(self._heap)
        head = self._heads[n]
        return Candidate(head, head.members[index], n, index)

    def placed(self, candidate: Candidate) -> None:
        """The candidate found a place: its bucket's next member is a candidate now."""
        if candidate.index + 1 < len(candidate.head.members):
            heapq.heappush(self._heap, self._entry(candidate.number, candidate.index + 1))

    def _entry(self, n: int, index: int) -> tuple[tuple[int, float, str], int, int]:
        head = self._heads[n]
        member = head.members[index]
        return main_order(head.bucket, member.key, member.job_id), n, index
