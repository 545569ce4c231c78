"""The queue index: what every adapter promises, and what only the one over Redis can get wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.domain.estimates import Forecast
from app.domain.explain import Reason
from app.domain.ports import SCHEDULER_BELL, Bells, QueueIndex
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import Board, Member, Place
from app.storage.bells import RedisBells
from app.storage.memory.bells import MemoryBells
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect
from tests.support.queueing import a_bucket, a_ticket, in_batches

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


@dataclass
class Subject:
    index: QueueIndex
    bells: Bells
    lose: Callable[[], Awaitable[object]]


@pytest.fixture(params=["redis", "memory"])
async def subject(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Subject]:
    if request.param == "memory":
        bells = MemoryBells()
        index = MemoryQueueIndex(bells)

        async def lose() -> None:
            index.lose()

        yield Subject(index, bells, lose)
    else:
        async with connect(redis_url) as redis:
            yield Subject(RedisQueueIndex(redis, "tf:test"), RedisBells(redis, "tf:test"), redis.flushall)


@pytest.fixture
def index(subject: Subject) -> QueueIndex:
    return subject.index


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


async def ids(index: QueueIndex) -> list[str]:
    return [member.job_id for member in await index.listing(0, 10_000)]


class TestOrder:
    async def test_classes_come_before_keys_and_keys_before_ids(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("d", 1, LOW), a_ticket("c", 2), a_ticket("b", 2), a_ticket("a", 9, HIGH)])
        await index.enqueue([a_ticket("e", 1, cores=4)])
        assert await ids(index) == ["a", "e", "b", "c", "d"]

    async def test_keys_one_step_apart_stay_apart(self, index: QueueIndex) -> None:
        """Today's keys are near 2e14, where a double has steps of 1/32."""
        keys = [217_000_000_000_000 + n / 32 for n in range(4)]
        await index.enqueue([a_ticket(f"job_{9 - n}", key) for n, key in enumerate(keys)])
        assert [member.key for member in await index.listing(0, 10)] == keys

    async def test_listing_takes_a_part_across_classes(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"{p.value}{n}", n, p) for p in (LOW, HIGH) for n in range(3)])
        part = await index.listing(2, 3)
        assert part == [Member("high2", 2), Member("low0", 0), Member("low1", 1)]
        assert await index.listing(6, 5) == []


class TestPlaces:
    async def test_are_told_by_the_enqueue_itself(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("high", 5, HIGH), a_ticket("first", 1), a_ticket("other", 2, cores=8)])
        [place] = await index.enqueue([a_ticket("new", 3)])
        assert place == Place(position=4, class_position=3, place=2, bucket_id=a_bucket().id)

    async def test_of_one_call_count_each_other(self, index: QueueIndex) -> None:
        places = await index.enqueue([a_ticket("b", 2), a_ticket("a", 1)])
        assert [place.position for place in places] == [2, 1]

    async def test_are_found_later_and_absent_jobs_left_out(self, index: QueueIndex) -> None:
        told = await index.enqueue([a_ticket("a", 1), a_ticket("b", 2)])
        assert await index.locate(["b", "nobody", "a"]) == {"a": told[0], "b": told[1]}
        assert await index.locate([]) == {}


class TestEnqueueAndDequeue:
    async def test_enqueue_again_changes_nothing(self, index: QueueIndex) -> None:
        first = await index.enqueue([a_ticket("a")])
        assert await index.enqueue([a_ticket("a")]) == first
        assert await index.lengths() == {Priority.URGENT: 0, HIGH: 0, NORMAL: 1, LOW: 0}
        assert [head.count for head in await index.heads()] == [1]

    async def test_enqueue_moves_a_job_to_its_new_class_and_bucket(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b", 7)])
        [place] = await index.enqueue([a_ticket("b", 0.5, HIGH, cores=2)])
        assert place == Place(1, 1, 1, a_bucket(HIGH, 2).id)
        assert await ids(index) == ["b", "a"]
        assert {head.bucket_id: head.count for head in await index.heads()} == {
            a_bucket().id: 1,
            a_bucket(HIGH, 2).id: 1,
        }

    async def test_a_new_key_moves_a_job_within_its_bucket(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a", 1), a_ticket("b", 2)])
        await index.enqueue([a_ticket("a", 3)])
        assert await ids(index) == ["b", "a"]

    async def test_dequeue_skips_absent_jobs_and_counts_the_others(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b", cores=2)])
        assert await index.dequeue(["a", "nobody", "a"]) == 1
        assert await index.dequeue([]) == 0
        assert [head.bucket for head in await index.heads()] == [a_bucket(cores=2)]
        assert await ids(index) == ["b"]

    async def test_enqueue_rings_for_the_scheduler(self, subject: Subject) -> None:
        async with subject.bells.listen(SCHEDULER_BELL) as waker:
            await subject.index.enqueue([a_ticket("a")])
            assert await waker.wait(5)

    async def test_enqueue_of_nothing_answers_nothing(self, index: QueueIndex) -> None:
        assert await index.enqueue([]) == []


class TestBuckets:
    async def test_heads_show_each_bucket_with_its_first_member(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("b", 2), a_ticket("a", 1), a_ticket("c", 9, HIGH, cores=3)])
        heads = {head.bucket: (head.bucket_id, head.count, head.members) for head in await index.heads()}
        assert heads == {
            a_bucket(): (a_bucket().id, 2, (Member("a", 1),)),
            a_bucket(HIGH, 3): (a_bucket(HIGH, 3).id, 1, (Member("c", 9),)),
        }

    async def test_what_runs_alone_stands_apart(self, index: QueueIndex) -> None:
        alone = replace(a_bucket(), alone=True)
        await index.enqueue([a_ticket("a", 1), Ticket("b", 2, 2, alone)])
        assert {head.bucket: head.members for head in await index.heads()} == {
            a_bucket(): (Member("a", 1),),
            alone: (Member("b", 2),),
        }

    async def test_members_are_the_first_so_many(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"j{n}", n) for n in range(5)])
        own = a_bucket().id
        found = await index.members({own: 2, "unknown": 3})
        assert found == {own: (Member("j0", 0), Member("j1", 1))}
        assert await index.members({own: 0}) == {}
        assert await index.members({}) == {}


class TestContents:
    async def test_missing_names_what_is_not_there(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a")])
        assert await index.missing(["x", "a", "y"]) == ["x", "y"]
        assert await index.missing([]) == []

    async def test_all_ids_gives_every_one(self, index: QueueIndex) -> None:
        wanted = {f"j{n}" for n in range(2_500)}
        await index.enqueue([a_ticket(job_id) for job_id in wanted])
        assert {job_id async for batch in index.all_ids() for job_id in batch} == wanted

    async def test_an_empty_index_answers_and_does_not_fail(self, subject: Subject) -> None:
        index = subject.index
        await index.enqueue([a_ticket("a")])
        await subject.lose()
        assert await index.heads() == []
        assert await index.listing(0, 10) == []
        assert await index.locate(["a"]) == {}
        assert await index.missing(["a"]) == ["a"]
        assert sum((await index.lengths()).values()) == 0
        assert [batch async for batch in index.all_ids()] == []
        assert await index.dequeue(["a"]) == 0
        assert await index.epoch() is None
        assert await index.board() is None


class TestRebuild:
    async def test_replaces_what_was_there_and_marks_it_with_an_epoch(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("stale", cores=9), a_ticket("kept", 5)])
        assert await index.rebuild(in_batches([a_ticket("kept", 2)], [], [a_ticket("new", 1, HIGH)])) == 2
        assert await ids(index) == ["new", "kept"]
        assert {head.bucket for head in await index.heads()} == {a_bucket(), a_bucket(HIGH)}
        first = await index.epoch()
        assert first
        await index.rebuild(in_batches())
        assert await ids(index) == []
        assert await index.epoch() not in {None, first}

    async def test_wakes_the_scheduler(self, subject: Subject) -> None:
        async with subject.bells.listen(SCHEDULER_BELL) as waker:
            await subject.index.rebuild(in_batches([a_ticket("a")]))
            assert await waker.wait(5)

    async def test_keeps_what_happened_to_the_index_meanwhile(self, index: QueueIndex) -> None:
        """The cursor read `gone` and `moved` before they changed, and was past the place of `came` before it came."""
        await index.enqueue([a_ticket("gone"), a_ticket("moved"), a_ticket("calm")])

        async def cursor() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("gone"), a_ticket("moved"), a_ticket("calm")]
            await index.dequeue(["gone", "left_before_it_was_read"])
            await index.enqueue([a_ticket("came", 7, cores=2), a_ticket("moved", 3, HIGH)])
            yield [a_ticket("left_before_it_was_read")]

        assert await index.rebuild(cursor()) == 3
        assert await ids(index) == ["moved", "calm", "came"]
        assert {head.bucket for head in await index.heads()} == {a_bucket(), a_bucket(HIGH), a_bucket(cores=2)}
        assert (await index.locate(["came"]))["came"].position == 3

    async def test_does_not_keep_what_happened_before(self, index: QueueIndex) -> None:
        """The control of the test above: what was touched before the rebuild has no say in it."""
        await index.rebuild(in_batches())
        await index.enqueue([a_ticket("orphan")])
        assert await index.rebuild(in_batches()) == 0
        assert await ids(index) == []

    async def test_a_later_rebuild_wins(self, index: QueueIndex) -> None:
        async def overtaken() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("old")]
            assert await index.rebuild(in_batches([a_ticket("new")])) == 1
            yield [a_ticket("older")]

        assert await index.rebuild(overtaken()) == 0
        assert await ids(index) == ["new"]
        assert await index.epoch()

    async def test_leaves_no_epoch_when_the_data_are_lost_meanwhile(self, subject: Subject) -> None:
        async def cut_short() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("read")]
            await subject.lose()
            await subject.index.enqueue([a_ticket("came")])

        assert await subject.index.rebuild(cut_short()) == 0
        assert await subject.index.epoch() is None
        assert await ids(subject.index) == ["came"]


class TestBoard:
    async def test_is_read_as_it_was_published(self, index: QueueIndex) -> None:
        at = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
        forecast = Forecast(at, {"b1": ((1, 0.0), (4, 12.5)), "b2": ()}, 0.25)
        reason = Reason("resources", "needs gpu_count 2", {"node": "n1", "gpu_count_short": 1, "share": 0.5})
        board = Board(at, forecast, {"b1": (reason,), "b2": ()})
        assert await index.board() is None
        await index.publish(board)
        assert await index.board() == board


class TestRedis:
    """What only a real server shows."""

    async def test_scripts_survive_a_server_that_forgot_them(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("a")])
        await redis.script_flush()
        [place] = await index.enqueue([a_ticket("b", 2)])
        assert place.position == 2

    async def test_concurrent_enqueues_share_few_calls(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("first", 0)])
        await redis.config_resetstat()
        found = await asyncio.gather(*(index.enqueue([a_ticket(f"j{n}", n + 1)]) for n in range(64)))
        assert sorted(place.position for [place] in found) == list(range(2, 66))
        calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        assert calls <= 2

    async def test_many_tickets_go_in_chunks(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.rebuild(in_batches())
        await redis.config_resetstat()
        places = await index.enqueue([a_ticket(f"j{n:04}", n) for n in range(2_500)])
        assert [place.position for place in places] == list(range(1, 2_501))
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] <= 4

    async def test_a_rebuild_leaves_nothing_behind_but_the_index(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("stale", cores=9)])

        async def broken() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("half", cores=5)]
            await index.enqueue([a_ticket("touched", cores=6)])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await index.rebuild(broken())
        await index.rebuild(in_batches([a_ticket("a")]))
        own = a_bucket().id
        assert {key.decode() for key in await redis.keys()} == {
            f"tf:test:{name}" for name in ("q:normal", "o:normal", f"b:{own}", "bucket", "at", "epoch")
        }
        assert [await redis.ttl(key) for key in await redis.keys()] == [-1] * 6

    async def test_an_empty_index_holds_no_keys(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket(f"j{n}", n, p, n) for n, p in enumerate(Priority)])
        await index.dequeue([f"j{n}" for n in range(4)])
        assert await redis.keys() == []

    async def test_submission_times_stand_beside_the_keys(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        for key in (5.0, 6.0):
            await index.enqueue([Ticket("a", key, 3.5, a_bucket())])
        assert await redis.zrange("tf:test:o:normal", 0, -1, withscores=True) == [(b"a", 3.5)]
        await index.rebuild(in_batches([Ticket("b", 9.0, 4.5, a_bucket())]))
        assert await redis.zrange("tf:test:o:normal", 0, -1, withscores=True) == [(b"b", 4.5)]

    async def test_namespaces_do_not_see_each_other(self, redis: Redis) -> None:
        one, other = RedisQueueIndex(redis, "tf:one"), RedisQueueIndex(redis, "tf:other")
        await one.enqueue([a_ticket("a")])
        await other.rebuild(in_batches())
        assert await other.missing(["a"]) == ["a"]
        assert await ids(one) == ["a"]

    async def test_a_board_of_another_shape_reads_as_none(self, redis: Redis) -> None:
        await redis.set("tf:test:board", b'{"at": "2026-01-01T00:00:00Z", "forecast": 3}')
        assert await RedisQueueIndex(redis, "tf:test").board() is None

    async def test_a_cancelled_caller_ends_at_once_and_harms_nobody(self, redis: Redis) -> None:
        """redis-py by itself swallows some of these cancellations, and breaks connections with others."""
        index = RedisQueueIndex(redis, "tf:test")

        async def ask_for_ever() -> None:
            while True:
                await index.lengths()

        loop = asyncio.get_running_loop()
        for n in range(300):
            asking = asyncio.create_task(ask_for_ever())
            loop.call_later(n / 100_000, asking.cancel)
            await asyncio.wait([asking], timeout=5)
            assert asking.cancelled()
        [place] = await index.enqueue([a_ticket("a")])
        assert place.position == 1

    async def test_an_absent_server_is_unavailable(self) -> None:
        async with connect("redis://127.0.0.1:1/0") as nowhere:
            index = RedisQueueIndex(nowhere, "tf:test")
            for call in (index.enqueue([a_ticket("a")]), index.heads(), index.lengths(), index.missing(["a"])):
                with pytest.raises(Unavailable) as caught:
                    await call
                assert caught.value.store == "Redis"

    async def test_a_refusal_is_unavailable_and_its_words_are_logged(
        self, redis: Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await redis.set("tf:test:at", "not a hash")
        with pytest.raises(Unavailable):
            await RedisQueueIndex(redis, "tf:test").enqueue([a_ticket("a")])
        assert "WRONGTYPE" in capsys.readouterr().out
