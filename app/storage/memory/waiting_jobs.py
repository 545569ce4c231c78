"""The waiting jobs of the queue index in memory: tickets by job, each with its bucket, sorted whenever one asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.priority import Priority
from app.domain.queueing import Bucket, Resolution, Ticket, main_order
from app.domain.records import Member, Neighbours, Place, Waiting
from app.domain.resolution import fitting_bucket


@dataclass(frozen=True, slots=True)
class Entry:
    """A waiting job with the bucket that it is in."""

    ticket: Ticket
    bucket: Bucket
    bucket_id: str

    @property
    def member(self) -> Member:
        return Member(self.ticket.job_id, self.ticket.key, self.ticket.demand)

    @property
    def by_key(self) -> tuple[float, str]:
        return self.ticket.key, self.ticket.job_id


class WaitingJobs:
    """What the structures of the index in Redis hold, but the bands."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._sizes: Counter[Bucket] = Counter()
        self._made: Counter[tuple[Priority, str]] = Counter()
        self._cursors: dict[Bucket, tuple[float, str]] = {}

    def add(self, tickets: Sequence[Ticket], but: Iterable[str] = ()) -> None:
        """Of a job that comes twice the last ticket holds; those named in `but` stay as they are."""
        last = {t.job_id: n for n, t in enumerate(tickets) if t.job_id not in but}
        self.remove(last)
        for n in sorted(last.values()):
            bucket = self._fitting(tickets[n].bucket)
            self.entries[tickets[n].job_id] = Entry(tickets[n], bucket, bucket.id)
            self._made[bucket.priority, bucket.tenant] += bucket not in self._sizes
            self._sizes[bucket] += 1

    def _fitting(self, exact: Bucket) -> Bucket:
        made = self._made[exact.priority, exact.tenant]
        return fitting_bucket(exact, self._sizes.__contains__, made, len(self._sizes))

    def remove(self, job_ids: Iterable[str]) -> int:
        """How many of them were there."""
        removed = [e for job_id in job_ids if (e := self.entries.pop(job_id, None)) is not None]
        for bucket in (e.bucket for e in removed):
            self._sizes[bucket] -= 1
            if not self._sizes[bucket]:
                del self._sizes[bucket]
                self._made[bucket.priority, bucket.tenant] -= 1
                self._cursors.pop(bucket, None)
        return len(removed)

    def in_turn(self, bucket: Bucket, line: Sequence[Entry], n: int) -> list[Entry]:
        """Of a bucket's members in order the first n; of a mixed one the first, and n - 1 from where the last ended."""
        if bucket.resolution is not Resolution.MIXED or not 1 < n < len(line):
            return list(line[:n])
        others = line[1:]
        ended = self._cursors.get(bucket)
        start = 0 if ended is None else sum(e.by_key <= ended for e in others)
        shown = [(start + k) % len(others) for k in range(n - 1)]
        self._cursors[bucket] = others[shown[-1]].by_key
        return [line[0], *(others[k] for k in sorted(shown))]


class Order:
    """The waiting jobs in order, as the bands are now."""

    def __init__(self, jobs: WaitingJobs, bands: Mapping[str, int]) -> None:
        ordered = [(main_order(e.bucket, bands.get(e.bucket.tenant, 0), *e.by_key), e) for e in jobs.entries.values()]
        ordered.sort(key=lambda pair: pair[0])
        self.entries = [entry for _, entry in ordered]
        self.waiting = [Waiting(e.bucket_id, e.bucket, e.member, band) for (_, band, _, _), e in ordered]

    def by_bucket(self) -> dict[Bucket, list[Entry]]:
        buckets: dict[Bucket, list[Entry]] = {}
        for entry in self.entries:
            buckets.setdefault(entry.bucket, []).append(entry)
        return buckets

    def places(self) -> dict[str, Place]:
        in_class: Counter[Priority] = Counter()
        in_bucket: Counter[Bucket] = Counter()
        places = {}
        for position, entry in enumerate(self.entries, 1):
            bucket = entry.bucket
            in_class[bucket.priority] += 1
            in_bucket[bucket] += 1
            places[entry.ticket.job_id] = Place(position, in_class[bucket.priority], in_bucket[bucket], entry.bucket_id)
        return places

    def neighbours(self, priority: Priority, position: int, job_id: str) -> Neighbours:
        line = [w for w in self.waiting if w.bucket.priority is priority]
        others = [w for w in line if w.member.job_id != job_id]
        at = max(0, min(position - 1, len(others)))
        ahead, there = others[at - 1 : at] if at else [], others[at : at + 1]
        own = [w for w in self.waiting if w.member.job_id == job_id]
        band = next((w.band for w in (*there, *ahead, *own)), 0)
        before = next((w.member.key for w in ahead if w.band == band), None)
        return Neighbours(before, next((w.member.key for w in there), None), band, len(line))

    def span(self, priority: Priority, band: int, key: float, n: int) -> list[Member]:
        line = [w.member for w in self.waiting if w.bucket.priority is priority and w.band == band]
        middle = sum(m.key < key for m in line)
        return line[max(0, middle - n // 2) : middle + n - n // 2]
