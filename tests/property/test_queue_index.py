"""Whatever is done to the queue index, in whatever order: it answers as a plain list of tickets would.

The model is a dictionary of tickets and `sorted`; the index over Redis and the one in memory are driven alike. In which
bucket a job is, is theirs to choose: it must be one that stands for its exact bucket, the same in both, and there must
never be too many.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.domain.ports import QueueIndex
from app.domain.priority import PATIENCE, RANK, SECOND, Priority
from app.domain.queueing import ROOM, Bucket, Demand, Resolution, Ticket
from app.domain.records import Member, Neighbours, OrderPoint, Waiting
from app.domain.resources import Vector
from app.storage.memory.bells import MemoryBells
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect
from tests.support.queueing import in_batches, member_of

T = TypeVar("T")
TENANTS = ("default", "vision", "text:mining")
EVERYBODY = [f"job_{n}" for n in range(12)]

job_ids = st.sampled_from(EVERYBODY)
keys = st.sampled_from([217_000_000_000_000 + n / 32 for n in range(5)]) | st.floats(-1e9, 1e15)
bands = st.integers(0, 2)
buckets = st.builds(
    Bucket,
    st.sampled_from(Priority),
    st.sampled_from(TENANTS),
    st.builds(Vector, st.integers(1, 2)),
    st.sampled_from([(), (("zone", "a"),)]),
    pin=st.none() | bands,
)
times = st.integers(0, 80_000).map(lambda seconds: 217e12 + seconds * SECOND + 1 / 32)
demands = st.builds(Demand, st.builds(Vector, st.integers(1, 2)), st.sampled_from(Priority), times)
tickets = st.builds(Ticket, job_ids, keys, buckets, demands)


class Model:
    """Tickets by job, and every answer by sorting them."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.bands: dict[str, int] = {}

    def point(self, t: Ticket) -> tuple[int, int, float, str]:
        band = self.bands.get(t.bucket.tenant, 0) if t.bucket.pin is None else t.bucket.pin
        return RANK[t.bucket.priority], band, t.key, t.job_id

    def ordered(self) -> list[Ticket]:
        return sorted(self.tickets.values(), key=self.point)

    def positions(self, job_id: str) -> tuple[int, int]:
        """In the whole order, and in the class."""
        own = self.tickets[job_id]
        ahead = [t for t in self.ordered() if self.point(t) <= self.point(own)]
        return len(ahead), sum(t.bucket.priority is own.bucket.priority for t in ahead)

    def neighbours(self, priority: Priority, position: int, job_id: str) -> Neighbours:
        line = [t for t in self.ordered() if t.bucket.priority is priority]
        others = [self.point(t) for t in line if t.job_id != job_id]
        ahead, behind = others[: position - 1][-1:], others[position - 1 :][:1]
        own = [self.point(t) for t in self.tickets.values() if t.job_id == job_id]
        band = next((point[1] for point in (*behind, *ahead, *own)), 0)
        before, after = ([p[2] for p in found if p[1] == band] for found in (ahead, behind))
        return Neighbours(before[0] if before else None, after[0] if after else None, band, len(line))


class QueueIndexMachine(RuleBasedStateMachine):
    """One index of each kind beside the model."""

    redis_url = ""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.redis = connect(self.redis_url)
        self.model = Model()
        self.memory = MemoryQueueIndex(MemoryBells())
        self.indexes: list[QueueIndex] = [RedisQueueIndex(self.redis, "tf:property"), self.memory]
        self.run(self.redis.flushall())

    def teardown(self) -> None:
        self.run(self.redis.aclose())
        self.runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(batch=st.lists(tickets, max_size=6))
    def enqueue(self, batch: list[Ticket]) -> None:
        self.model.tickets.update({t.job_id: t for t in batch})
        for index in self.indexes:
            places = self.run(index.enqueue(batch))
            assert [(p.position, p.class_position) for p in places] == [self.model.positions(t.job_id) for t in batch]

    @rule(job_id=job_ids, key=keys, pin=bands)
    def reorder(self, job_id: str, key: float, pin: int) -> None:
        if job_id in self.model.tickets:
            ticket = self.model.tickets[job_id]
            self.enqueue([replace(ticket, key=key, bucket=replace(ticket.bucket, pin=pin))])

    @rule(batch=st.lists(job_ids, max_size=6))
    def dequeue(self, batch: list[str]) -> None:
        there = sum(self.model.tickets.pop(job_id, None) is not None for job_id in batch)
        for index in self.indexes:
            assert self.run(index.dequeue(batch)) == there

    @rule(found=st.dictionaries(st.sampled_from(TENANTS), bands))
    def publish_bands(self, found: dict[str, int]) -> None:
        self.model.bands = found
        for index in self.indexes:
            self.run(index.publish_bands(found))

    @rule()
    def lose(self) -> None:
        self.run(self.redis.flushall())
        self.memory.lose()
        self.model.tickets.clear()
        self.model.bands = {}

    @rule(
        stored=st.lists(tickets, max_size=8, unique_by=lambda t: t.job_id),
        came=st.lists(tickets, max_size=3),
        left=st.lists(job_ids, max_size=3),
        at=st.integers(0, 2),
    )
    def rebuild(self, stored: list[Ticket], came: list[Ticket], left: list[str], at: int) -> None:
        """The cursor gives `stored` in two batches; changes to the live index come before, between or after them."""
        for index in self.indexes:
            work = index.rebuild(self._cursor(index, stored, came, left, at))
            indexed = self.run(work)
            assert self.run(index.epoch())
            expected = {t.job_id: t for t in stored}
            for job_id in left:
                expected.pop(job_id, None)
            expected |= {t.job_id: t for t in came}
            assert indexed == len(expected)
        self.model.tickets = expected

    async def _cursor(
        self, index: QueueIndex, stored: list[Ticket], came: list[Ticket], left: list[str], at: int
    ) -> AsyncIterator[list[Ticket]]:
        half = len(stored) // 2
        for n, batch in enumerate((stored[:half], stored[half:], [])):
            if n == at:
                await index.dequeue(left)
                await index.enqueue(came)
            yield batch

    @rule(rank=st.integers(0, 3), band=bands, key=keys, job_id=job_ids, limit=st.integers(0, 14))
    def listing(self, rank: int, band: int, key: float, job_id: str, limit: int) -> None:
        point = rank, band, key, job_id
        expected = [member_of(t) for t in self.model.ordered() if self.model.point(t) > point][:limit]
        for index in self.indexes:
            found = self.run(index.listing(OrderPoint(*point), limit))
            assert [w.member for w in found] == expected

    @rule(size=st.integers(1, 5))
    def pages(self, size: int) -> None:
        expected = [(self.model.point(t), member_of(t)) for t in self.model.ordered()]
        for index in self.indexes:
            found = self.run(self._paged(index, size))
            assert [((w.point.rank, w.band, w.member.key, w.member.job_id), w.member) for w in found] == expected

    async def _paged(self, index: QueueIndex, size: int) -> list[Waiting]:
        found = page = await index.listing(None, size)
        while page:
            page = await index.listing(page[-1].point, size)
            found = found + page
        return found

    @rule(priority=st.sampled_from(Priority), position=st.integers(1, 14), job_id=job_ids)
    def neighbours(self, priority: Priority, position: int, job_id: str) -> None:
        expected = self.model.neighbours(priority, position, job_id)
        for index in self.indexes:
            assert self.run(index.neighbours(priority, position, job_id)) == expected

    @rule(priority=st.sampled_from(Priority), band=bands, key=keys, n=st.integers(0, 8))
    def span(self, priority: Priority, band: int, key: float, n: int) -> None:
        line = [t for t in self.model.ordered() if self.model.point(t)[:2] == (RANK[priority], band)]
        below, rest = [t for t in line if t.key < key], [t for t in line if t.key >= key]
        expected = [member_of(t) for t in (*below[max(0, len(below) - n // 2) :], *rest[: n - n // 2])]
        for index in self.indexes:
            assert self.run(index.span(priority, band, key, n)) == expected

    @rule(now=times, most=st.integers(0, 14))
    def lane(self, now: float, most: int) -> None:
        due = {t.job_id: t.demand.submitted + PATIENCE[t.demand.own] for t in self.model.tickets.values()}
        expected = sorted((d, job_id) for job_id, d in due.items() if d <= now)[:most]
        for index in self.indexes:
            assert [w.member.job_id for w in self.run(index.lane(now, most))] == [job_id for _, job_id in expected]

    @invariant()
    def everything_agrees(self) -> None:
        if hasattr(self, "indexes"):
            for index in self.indexes:
                self.run(self._compare(index))

    async def _compare(self, index: QueueIndex) -> None:
        waiting = self.model.tickets
        places = await index.locate(EVERYBODY)
        positions = {job_id: (p.position, p.class_position) for job_id, p in places.items()}
        assert positions == {job_id: self.model.positions(job_id) for job_id in waiting}
        assert await index.missing(EVERYBODY) == [job_id for job_id in EVERYBODY if job_id not in waiting]
        assert {job_id async for batch in index.all_ids() for job_id in batch} == set(waiting)
        counts = Counter(t.bucket.priority for t in waiting.values())
        assert await index.lengths() == {p: counts[p] for p in Priority}
        found = await index.find(EVERYBODY)
        assert {job_id: w.member for job_id, w in found.items()} == {j: member_of(t) for j, t in waiting.items()}
        assert {j: (w.bucket, w.bucket_id) for j, w in found.items()} == {
            j: (t.bucket, t.bucket.id) for j, t in waiting.items()
        }, "so few buckets are exact"
        await self._compare_buckets(index)

    async def _compare_buckets(self, index: QueueIndex) -> None:
        expected: dict[Bucket, list[Member]] = {}
        for t in self.model.ordered():
            expected.setdefault(t.bucket, []).append(member_of(t))
        heads = {head.bucket: (head.bucket_id, head.count, list(head.members)) for head in await index.heads()}
        assert heads == {b: (b.id, len(members), members[:1]) for b, members in expected.items()}
        members = await index.members({b.id: 3 for b in expected})
        assert members == {b.id: tuple(found[:3]) for b, found in expected.items()}


def test_queue_index_answers_as_the_model_does(redis_url: str) -> None:
    class Machine(QueueIndexMachine):
        pass

    Machine.redis_url = redis_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


Step = tuple[int, int, bool]
"""How many come; each so-manieth of those before leaves (0: none); whether all is rebuilt."""
steps = st.lists(
    st.tuples(st.integers(0, 250), st.sampled_from([0, 0, 2, 3, 7]), st.booleans()), min_size=1, max_size=6
)


def an_unlike_bucket(chance: random.Random) -> Bucket:
    """Seldom one that another job has."""
    return Bucket(
        chance.choice([Priority.NORMAL, Priority.LOW]),
        chance.choice(["default", "vision"]),
        Vector(*(chance.randrange(most) for most in (200_000, 2_000_000, 9, 50))),
        chance.choice([(), (("zone", "a"),), (("zone", "b"),)]),
        alone=chance.random() < 0.5,
        pin=chance.choice([None, None, None, 0]),
        duration=chance.randrange(13),
    )


def stream(found: Iterable[Step], chance: random.Random) -> Iterator[tuple[list[Ticket], list[str], bool]]:
    """Of each step the tickets that come, the jobs that leave, and whether all is rebuilt."""
    made: list[Ticket] = []
    for count, leave_each, rebuilt in found:
        leave = [t.job_id for t in made[::leave_each]] if leave_each else []
        buckets = [an_unlike_bucket(chance) for _ in range(count)]
        come = [Ticket(f"job_{len(made) + n}", float(n % 9), b, Demand(b.vector)) for n, b in enumerate(buckets)]
        made += come
        yield come, leave, rebuilt


async def keeps_the_bound(redis_url: str, found: list[Step], seed: int) -> None:
    async with connect(redis_url) as redis:
        await redis.flushall()
        indexes: list[QueueIndex] = [RedisQueueIndex(redis, "tf:bound"), MemoryQueueIndex(MemoryBells())]
        waiting: dict[str, Ticket] = {}
        for come, leave, rebuilt in stream(found, random.Random(seed)):
            waiting |= {t.job_id: t for t in come}
            waiting = {job_id: t for job_id, t in waiting.items() if job_id not in leave}
            homes = []
            for index in indexes:
                await index.enqueue(come)
                await index.dequeue(leave)
                if rebuilt:
                    await index.rebuild(in_batches(list(waiting.values())))
                homes.append(await homes_in(index, waiting))
            assert homes[0] == homes[1], "both choose alike"


async def homes_in(index: QueueIndex, waiting: dict[str, Ticket]) -> dict[str, Bucket]:
    """Job → its bucket, checked."""
    heads = await index.heads()
    exact = await index.members({h.bucket_id: h.count for h in heads})
    homes = {m.job_id: h.bucket for h in heads for m in exact[h.bucket_id]}
    assert sum(h.count for h in heads) == sum(map(len, exact.values())) == len(homes), "each is in one bucket"
    assert homes.keys() == waiting.keys()
    for job_id, bucket in homes.items():
        assert bucket in [waiting[job_id].bucket.at(r) for r in Resolution]
    assert {m.job_id: m for line in exact.values() for m in line} == {j: member_of(t) for j, t in waiting.items()}
    for count in Counter((h.bucket.priority, h.bucket.tenant) for h in heads).values():
        assert count <= ROOM[Resolution.OCTAVE] + len({t.bucket.pin for t in waiting.values()})
    for resolution, room in ROOM.items():
        families = Counter((h.bucket.priority, h.bucket.tenant) for h in heads if h.bucket.resolution is resolution)
        assert max(families.values(), default=0) <= room
    return homes


def test_few_buckets_whatever_is_asked_for(redis_url: str) -> None:
    @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps, st.integers(0, 2**32))
    def check(found: list[Step], seed: int) -> None:
        asyncio.run(keeps_the_bound(redis_url, found, seed))

    check()
