"""Whatever is done to the queue index, in whatever order: it answers as a plain list of tickets would.

The model is a dictionary of tickets and `sorted`; the index over Redis and the one in memory are driven alike.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.domain.ports import QueueIndex
from app.domain.priority import RANK, Priority
from app.domain.queueing import Bucket, Ticket
from app.domain.records import Member, Place
from app.domain.resources import Vector
from app.storage.memory.bells import MemoryBells
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect

T = TypeVar("T")

job_ids = st.sampled_from([f"job_{n}" for n in range(12)])
keys = st.sampled_from([217_000_000_000_000 + n / 32 for n in range(5)]) | st.floats(-1e9, 1e15)
buckets = st.builds(
    Bucket,
    st.sampled_from(Priority),
    st.sampled_from(["default", "vision"]),
    st.builds(Vector, st.integers(1, 2)),
    st.sampled_from([(), (("zone", "a"),)]),
)
tickets = st.builds(Ticket, job_ids, keys, keys, buckets)


class Model:
    """Tickets by job, and every answer by sorting them."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}

    def ordered(self) -> list[Ticket]:
        return sorted(self.tickets.values(), key=lambda t: (RANK[t.bucket.priority], t.key, t.job_id))

    def place(self, job_id: str) -> Place:
        order, own = self.ordered(), self.tickets[job_id]
        ahead = order[: order.index(own) + 1]
        in_class = [t for t in ahead if t.bucket.priority == own.bucket.priority]
        in_bucket = [t for t in ahead if t.bucket == own.bucket]
        return Place(len(ahead), len(in_class), len(in_bucket), own.bucket.id)

    def buckets(self) -> dict[Bucket, list[Member]]:
        found: dict[Bucket, list[Member]] = {}
        for t in self.ordered():
            found.setdefault(t.bucket, []).append(Member(t.job_id, t.key))
        return found


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
            assert self.run(index.enqueue(batch)) == [self.model.place(t.job_id) for t in batch]

    @rule(batch=st.lists(job_ids, max_size=6))
    def dequeue(self, batch: list[str]) -> None:
        there = sum(self.model.tickets.pop(job_id, None) is not None for job_id in batch)
        for index in self.indexes:
            assert self.run(index.dequeue(batch)) == there

    @rule()
    def lose(self) -> None:
        self.run(self.redis.flushall())
        self.memory.lose()
        self.model.tickets.clear()

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

    @rule(offset=st.integers(0, 14), limit=st.integers(0, 14))
    def listing(self, offset: int, limit: int) -> None:
        expected = [Member(t.job_id, t.key) for t in self.model.ordered()][offset : offset + limit]
        for index in self.indexes:
            assert self.run(index.listing(offset, limit)) == expected

    @invariant()
    def everything_agrees(self) -> None:
        if hasattr(self, "indexes"):
            for index in self.indexes:
                self.run(self._compare(index))

    async def _compare(self, index: QueueIndex) -> None:
        waiting, expected = self.model.tickets, self.model.buckets()
        everybody = [f"job_{n}" for n in range(12)]
        assert await index.locate(everybody) == {job_id: self.model.place(job_id) for job_id in waiting}
        assert await index.missing(everybody) == [job_id for job_id in everybody if job_id not in waiting]
        assert {job_id async for batch in index.all_ids() for job_id in batch} == set(waiting)
        counts = Counter(t.bucket.priority for t in waiting.values())
        assert await index.lengths() == {p: counts[p] for p in Priority}
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
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
