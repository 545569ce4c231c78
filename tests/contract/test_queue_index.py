"""The queue index: what every adapter promises, and what only the one over Redis can get wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.domain.estimates import Forecast
from app.domain.explain import Reason
from app.domain.ports import SCHEDULER_BELL, Bells, QueueIndex
from app.domain.priority import PATIENCE, SECOND, Priority
from app.domain.queueing import MOST_BUCKETS, ROOM, Resolution, Ticket
from app.domain.records import Board, Neighbours, OrderPoint, Place, Waiting
from app.storage.bells import RedisBells
from app.storage.memory.bells import MemoryBells
from app.storage.memory.queue_index import MemoryQueueIndex
from app.storage.queue_index import STRUCTURES, RedisQueueIndex
from app.storage.redis import connect
from tests.support.queueing import a_bucket, a_ticket, in_batches, member_of, moved

URGENT, HIGH, NORMAL, LOW = Priority


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
    return [waiting.member.job_id for waiting in await index.listing(None, 10_000)]


class TestOrder:
    async def test_classes_come_before_keys_and_keys_before_ids(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("d", 1, LOW), a_ticket("c", 2), a_ticket("b", 2), a_ticket("a", 9, HIGH)])
        await index.enqueue([a_ticket("e", 1, cores=4)])
        assert await ids(index) == ["a", "e", "b", "c", "d"]

    async def test_keys_one_step_apart_stay_apart(self, index: QueueIndex) -> None:
        """Today's keys are near 2e14, where a double has steps of 1/32."""
        keys = [217_000_000_000_000 + n / 32 for n in range(4)]
        await index.enqueue([a_ticket(f"job_{9 - n}", key) for n, key in enumerate(keys)])
        assert [waiting.member.key for waiting in await index.listing(None, 10)] == keys

    async def test_tenants_and_buckets_make_one_order(self, index: QueueIndex) -> None:
        keys = {"d": 4, "a": 1, "e": 5, "b": 2, "c": 2}
        await index.enqueue([a_ticket(j, k, cores=1 + k, tenant=f"t{k % 3}") for j, k in keys.items()])
        assert await ids(index) == ["a", "b", "c", "d", "e"]

    async def test_ids_of_one_key_go_by_bytes_whatever_their_tenant(self, index: QueueIndex) -> None:
        """An underscore sorts behind digits and before letters; a locale may ignore it."""
        names = ["job_", "job0", "job_0", "jobz", "job", "joba", "job_z", "job9"]
        await index.enqueue([a_ticket(name, 1, tenant=f"t{n % 3}") for n, name in enumerate(names)])
        assert await ids(index) == sorted(names)
        places = await index.locate(names)
        assert sorted(names, key=lambda name: places[name].position) == sorted(names)


class TestListing:
    async def test_goes_on_behind_a_point_across_classes(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"{p.value}{n}", n, p) for p in (LOW, HIGH) for n in range(3)])
        first = await index.listing(None, 2)
        assert [w.member.job_id for w in first] == ["high0", "high1"]
        rest = await index.listing(first[-1].point, 3)
        assert [w.member.job_id for w in rest] == ["high2", "low0", "low1"]
        assert await index.listing(OrderPoint(3, 0, 2.0, "low2"), 5) == []

    async def test_tells_everything_of_a_job(self, index: QueueIndex) -> None:
        ticket = a_ticket("a", 3, HIGH, own=LOW, submitted=2.5, pin=7)
        await index.enqueue([ticket])
        expected = Waiting(ticket.bucket.id, ticket.bucket, member_of(ticket), band=7)
        assert await index.listing(None, 1) == [expected]
        assert expected.point == OrderPoint(1, 7, 3.0, "a")

    async def test_goes_on_where_it_was_when_jobs_come_and_go(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"j{n}", n, tenant=f"t{n % 2}") for n in range(8)])
        page = await index.listing(None, 4)
        await index.dequeue(["j0", "j3", "j5"])
        await index.enqueue([a_ticket("new", 0.5), a_ticket("tie", 3), a_ticket("behind", 6.5)])
        rest = await index.listing(page[-1].point, 10)
        assert [w.member.job_id for w in rest] == ["tie", "j4", "j6", "behind", "j7"]


class TestBands:
    async def test_a_tenant_of_a_higher_band_stands_behind(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a", 1, tenant="much"), a_ticket("b", 2, tenant="some"), a_ticket("c", 3)])
        await index.publish_bands({"much": 6, "some": 4})
        assert await ids(index) == ["c", "b", "a"]
        assert [w.band for w in await index.listing(None, 3)] == [0, 4, 6]
        assert (await index.locate(["a"]))["a"].position == 3
        await index.publish_bands({"some": 4})
        assert await ids(index) == ["a", "c", "b"]
        await index.publish_bands({})
        assert await ids(index) == ["a", "b", "c"]

    async def test_stay_within_their_class(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("high", 1, HIGH, tenant="much"), a_ticket("normal", 2)])
        await index.publish_bands({"much": 6})
        assert await ids(index) == ["high", "normal"]

    async def test_outlive_a_rebuild(self, index: QueueIndex) -> None:
        await index.publish_bands({"much": 6})
        await index.rebuild(in_batches([a_ticket("a", 1, tenant="much"), a_ticket("b", 2)]))
        assert await ids(index) == ["b", "a"]

    async def test_a_pin_takes_the_place_of_the_band(self, index: QueueIndex) -> None:
        pinned = a_ticket("pinned", 9, tenant="much", pin=0)
        await index.enqueue([a_ticket("a", 1, tenant="much"), a_ticket("b", 2), pinned])
        await index.publish_bands({"much": 6})
        assert await ids(index) == ["b", "pinned", "a"]
        places = await index.locate(["pinned", "a"])
        assert (places["pinned"].class_position, places["a"].class_position) == (2, 3)
        assert places["pinned"].bucket_id == pinned.bucket.id != places["a"].bucket_id


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
        first, other = a_ticket("a", 1, own=LOW, submitted=0.25), a_ticket("c", 9, HIGH, cores=3)
        await index.enqueue([a_ticket("b", 2), first, other])
        heads = {head.bucket: (head.bucket_id, head.count, head.members) for head in await index.heads()}
        assert heads == {
            a_bucket(): (a_bucket().id, 2, (member_of(first),)),
            a_bucket(HIGH, 3): (a_bucket(HIGH, 3).id, 1, (member_of(other),)),
        }

    async def test_what_runs_alone_stands_apart(self, index: QueueIndex) -> None:
        plain, alone = a_ticket("a", 1), a_ticket("b", 2)
        alone = replace(alone, bucket=replace(alone.bucket, alone=True), demand=replace(alone.demand, alone=True))
        await index.enqueue([plain, alone])
        assert {head.bucket: head.members for head in await index.heads()} == {
            a_bucket(): (member_of(plain),),
            alone.bucket: (member_of(alone),),
        }

    async def test_members_are_the_first_so_many(self, index: QueueIndex) -> None:
        tickets = [a_ticket(f"j{n}", n) for n in range(5)]
        await index.enqueue(tickets)
        own = a_bucket().id
        assert await index.members({own: 2, "0" * 16: 3}) == {own: tuple(map(member_of, tickets[:2]))}
        assert await index.members({own: 0}) == {}
        assert await index.members({}) == {}


def unlike(count: int, start: int = 0, tenant: str = "default") -> list[Ticket]:
    """Jobs of which no two are in one exact bucket."""
    return [a_ticket(f"{tenant}{n:05}", n, cores=65 + n, tenant=tenant) for n in range(start, start + count)]


def unlike_in_all(count: int) -> list[Ticket]:
    """Nor in one rounded bucket: selectors are never rounded."""
    return [replace(t, bucket=replace(t.bucket, selector=(("rack", t.job_id),))) for t in unlike(count)]


async def by_resolution(index: QueueIndex) -> dict[Resolution, int]:
    heads = await index.heads()
    return {r: sum(head.bucket.resolution is r for head in heads) for r in Resolution}


class TestResolution:
    async def test_many_different_jobs_make_few_buckets(self, index: QueueIndex) -> None:
        await index.enqueue(unlike(400))
        heads = await index.heads()
        assert len(heads) <= ROOM[Resolution.OCTAVE] + 1
        assert sum(head.count for head in heads) == 400
        found = await by_resolution(index)
        assert found[Resolution.EXACT] == ROOM[Resolution.EXACT]
        assert found[Resolution.QUARTER_OCTAVE] > 0

    async def test_members_keep_their_exact_demand(self, index: QueueIndex) -> None:
        tickets = unlike(100)
        await index.enqueue(tickets)
        found = await index.members({head.bucket_id: head.count for head in await index.heads()})
        members = {member.job_id: member for line in found.values() for member in line}
        assert members == {t.job_id: member_of(t) for t in tickets}

    async def test_an_exact_bucket_that_is_there_is_used(self, index: QueueIndex) -> None:
        tickets = unlike(60)
        await index.enqueue(tickets)
        [place] = await index.enqueue([replace(tickets[0], job_id="like_the_first", key=99.0)])
        assert place.bucket_id == tickets[0].bucket.id

    async def test_a_coarser_bucket_that_is_there_is_used_when_no_finer_may_be_made(self, index: QueueIndex) -> None:
        tickets = unlike_in_all(150)
        await index.enqueue(tickets)
        for number, resolution in ((60, Resolution.QUARTER_OCTAVE), (90, Resolution.OCTAVE)):
            like = tickets[number].bucket
            vector = replace(like.vector, memory_mib=like.vector.memory_mib - 1)
            ticket = replace(tickets[number], job_id=f"like{number}", bucket=replace(like, vector=vector))
            [place] = await index.enqueue([ticket])
            assert place.bucket_id == ticket.bucket.at(resolution).id
            assert place.place == 2

    async def test_room_that_is_free_again_is_used(self, index: QueueIndex) -> None:
        tickets = unlike(200)
        await index.enqueue(tickets)
        await index.dequeue(t.job_id for t in tickets)
        late = a_ticket("late", cores=999)
        [place] = await index.enqueue([late])
        assert place.bucket_id == late.bucket.id
        assert len(await index.heads()) == 1

    async def test_each_tenant_and_class_has_room_of_its_own(self, index: QueueIndex) -> None:
        await index.enqueue(unlike(60))
        others = [a_ticket("other", 1, cores=9, tenant="other"), a_ticket("high", 1, HIGH, cores=9)]
        places = await index.enqueue(others)
        assert [place.bucket_id for place in places] == [t.bucket.id for t in others]

    async def test_the_last_resort_is_one_mixed_bucket(self, index: QueueIndex) -> None:
        await index.enqueue(unlike_in_all(150))
        found = await by_resolution(index)
        assert sum(found.values()) == ROOM[Resolution.OCTAVE] + 1
        assert found[Resolution.MIXED] == 1

    async def test_more_buckets_than_may_be_go_to_mixed_ones(self, index: QueueIndex) -> None:
        tickets = [t for n in range(MOST_BUCKETS // 40 + 2) for t in unlike(40, tenant=f"t{n:03}")]
        await index.enqueue(tickets)
        found = await by_resolution(index)
        assert found[Resolution.EXACT] == MOST_BUCKETS
        assert 0 < found[Resolution.MIXED] <= 3

    async def test_a_mixed_bucket_shows_its_first_and_others_in_turn(self, index: QueueIndex) -> None:
        tickets = unlike_in_all(196)
        await index.enqueue(tickets)
        [mixed] = [head for head in await index.heads() if head.bucket.resolution is Resolution.MIXED]
        assert mixed.count == 100
        first, *others = [t.job_id for t in tickets[96:]]
        assert mixed.members[0].job_id == first

        async def shown(n: int = 40) -> list[str]:
            return [m.job_id for m in (await index.members({mixed.bucket_id: n}))[mixed.bucket_id]]

        assert await shown() == [first, *others[:39]]
        assert await shown() == [first, *others[39:78]]
        assert await shown() == [first, *others[:18], *others[78:]], "around the end, in order"
        await index.dequeue([others[18], others[19]])
        assert await shown(3) == [first, others[20], others[21]], "on from there, though jobs have left"
        assert await shown(1) == [first]
        assert len(await shown(200)) == 98


class TestLane:
    async def test_holds_the_overdue_by_due_time_of_the_class_asked_for(self, index: QueueIndex) -> None:
        now = 10.0 * PATIENCE[LOW]
        await index.enqueue(
            [
                a_ticket("low_just_due", 5, LOW, submitted=now - PATIENCE[LOW]),
                a_ticket("low_not_yet", 1, LOW, submitted=now - PATIENCE[LOW] + 1),
                a_ticket("raised", 1, URGENT, own=LOW, submitted=now - PATIENCE[LOW] - SECOND),
                a_ticket("urgent", 9, URGENT, submitted=now - PATIENCE[URGENT] - 2 * SECOND),
                a_ticket("tie_b", 2, submitted=now - PATIENCE[NORMAL] - 3 * SECOND, tenant="x"),
                a_ticket("tie_a", 3, HIGH, submitted=now - PATIENCE[HIGH] - 3 * SECOND),
            ]
        )
        await index.publish_bands({"x": 9})
        order = ["tie_a", "tie_b", "urgent", "raised", "low_just_due"]
        found = await index.lane(now)
        assert [w.member.job_id for w in found] == order
        assert found == [(await index.find(order))[job_id] for job_id in order]
        assert [w.member.job_id for w in await index.lane(now, 2)] == order[:2]
        assert await index.lane(0.0) == []

    async def test_a_reorder_does_not_change_when_a_job_is_due(self, index: QueueIndex) -> None:
        ticket = a_ticket("a", 1.0)
        await index.enqueue([ticket])
        await index.enqueue([moved(ticket, 1e15, 0)])
        assert [w.member.job_id for w in await index.lane(1.0 + PATIENCE[NORMAL])] == ["a"]

    async def test_those_that_left_are_not_in_it(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b")])
        await index.enqueue([a_ticket("b", own=LOW)])
        await index.dequeue(["a"])
        assert await index.lane(1.0 + PATIENCE[NORMAL]) == []


class TestNeighbours:
    async def test_of_one_band_are_those_at_the_place_without_the_job(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"j{n}", 10.0 * n, tenant=f"t{n % 2}") for n in range(1, 6)])
        expected = {
            1: (None, 10.0),
            2: (10.0, 30.0),
            3: (30.0, 40.0),
            4: (40.0, 50.0),
            5: (50.0, None),
            9: (50.0, None),
        }
        for position, (before, after) in expected.items():
            assert await index.neighbours(NORMAL, position, "j2") == Neighbours(before, after, 0, 5), position

    async def test_of_a_job_from_elsewhere_all_stay(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a", 1), a_ticket("b", 2), a_ticket("other", 5, HIGH)])
        for job_id in ("other", "nobody"):
            assert await index.neighbours(NORMAL, 2, job_id) == Neighbours(1.0, 2.0, 0, 2)
            assert await index.neighbours(NORMAL, 3, job_id) == Neighbours(2.0, None, 0, 2)

    async def test_the_band_is_that_of_the_job_at_the_place(self, index: QueueIndex) -> None:
        await index.publish_bands({"much": 5, "some": 2})
        await index.enqueue([a_ticket(f"{t}{n}", n, tenant=t) for t in ("much", "some") for n in (1, 2)])
        job = "some1"  # the others in order: some2, much1, much2
        assert await index.neighbours(NORMAL, 1, job) == Neighbours(None, 2.0, 2, 4)
        assert await index.neighbours(NORMAL, 2, job) == Neighbours(None, 1.0, 5, 4)
        assert await index.neighbours(NORMAL, 3, job) == Neighbours(1.0, 2.0, 5, 4)
        assert await index.neighbours(NORMAL, 4, job) == Neighbours(2.0, None, 5, 4)

    async def test_nobody_else_leaves_the_job_its_band(self, index: QueueIndex) -> None:
        await index.publish_bands({"much": 5})
        await index.enqueue([a_ticket("a", tenant="much"), a_ticket("b", tenant="much", pin=3)])
        assert await index.neighbours(LOW, 1, "a") == Neighbours(None, None, 5, 0)
        assert await index.neighbours(LOW, 1, "b") == Neighbours(None, None, 3, 0)
        await index.dequeue(["b"])
        assert await index.neighbours(NORMAL, 1, "a") == Neighbours(None, None, 5, 1)
        assert await index.neighbours(NORMAL, 1, "nobody") == Neighbours(None, 1.0, 5, 1)

    async def test_a_job_with_a_key_between_them_stands_there(self, index: QueueIndex) -> None:
        """What a reorder does, to and from every place."""
        tickets = {f"j{n}": a_ticket(f"j{n}", float(n), tenant=f"t{n % 3}") for n in range(7)}
        await index.publish_bands({"t1": 4})
        await index.enqueue(list(tickets.values()))
        for position in range(1, 8):
            for job_id, ticket in tickets.items():
                found = await index.neighbours(NORMAL, position, job_id)
                low = found.before if found.before is not None else (found.after or 0.0) - 1
                high = found.after if found.after is not None else low + 2
                [place] = await index.enqueue([moved(ticket, (low + high) / 2, found.band)])
                assert place.class_position == position

    async def test_span_gives_those_around_a_key(self, index: QueueIndex) -> None:
        tickets = [a_ticket(f"j{n}", n, tenant=f"t{n % 3}", pin=4) for n in range(10)]
        await index.enqueue([*tickets, a_ticket("other_band", 5), a_ticket("other_class", 5, HIGH, pin=4)])
        assert await index.span(NORMAL, 4, 5.0, 4) == [member_of(t) for t in tickets[3:7]]
        assert await index.span(NORMAL, 4, 0.5, 4) == [member_of(t) for t in tickets[:3]]
        assert await index.span(NORMAL, 4, 99.0, 5) == [member_of(t) for t in tickets[8:]]
        assert await index.span(NORMAL, 9, 5.0, 4) == []


class TestContents:
    async def test_find_tells_of_those_that_wait(self, index: QueueIndex) -> None:
        ticket = a_ticket("a", 217_000_000_000_000 + 1 / 32, tenant="x")
        await index.enqueue([ticket, a_ticket("b", 2)])
        await index.publish_bands({"x": 3})
        expected = Waiting(ticket.bucket.id, ticket.bucket, member_of(ticket), band=3)
        assert await index.find(["nobody", "a"]) == {"a": expected}
        assert await index.find([]) == {}

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
        assert await index.listing(None, 10) == []
        assert await index.find(["a"]) == {}
        assert await index.lane(1e15) == []
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
            f"tf:test:{name}"
            for name in (
                *("q:normal:*:default", "queues:normal", "o:normal", f"b:{own}"),
                *("bucket", "home", "made", "waiting", "at", "epoch"),
            )
        }
        assert {await redis.ttl(key) for key in await redis.keys()} == {-1}

    async def test_an_empty_index_holds_no_keys(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket(f"j{n}", n, p, n) for n, p in enumerate(Priority)])
        await index.dequeue([f"j{n}" for n in range(4)])
        assert await redis.keys() == []

    async def test_structures_that_disagree_are_given_up(self, redis: Redis) -> None:
        spoils: list[Callable[[], Any]] = [
            lambda: redis.hdel("tf:test:at", "a"),
            lambda: redis.zrem("tf:test:q:normal:*:default", "a"),
            lambda: redis.zrem("tf:test:o:normal", "a"),
            lambda: redis.hincrby("tf:test:waiting", "normal", 1),
            lambda: redis.hset("tf:test:waiting", "low", "many"),
            lambda: redis.hdel("tf:test:home", a_bucket().id),
            lambda: redis.hincrby("tf:test:made", "low:default", 1),
            lambda: redis.hset("tf:test:queues:low", "low:*:nobody", "1"),
            lambda: redis.zadd(f"tf:test:b:{a_bucket().id}", {"b": 1.0}),
        ]
        for n, spoil in enumerate(spoils):
            index = RedisQueueIndex(redis, "tf:test")
            await index.rebuild(in_batches([a_ticket("a"), a_ticket("b", cores=2)]))
            assert len(await index.heads()) == 2
            await spoil()
            await index.heads()
            assert await index.epoch() is None, n
            assert await redis.keys() == [], n

    @pytest.mark.parametrize("name", STRUCTURES)
    async def test_a_structure_of_another_type_is_given_up_by_whoever_meets_it(self, redis: Redis, name: str) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        for spaces in ("tf:test", "tf:test:next"):
            await index.rebuild(in_batches([a_ticket(p.value, priority=p) for p in Priority]))
            await redis.delete(f"{spaces}:{name}")
            await redis.rpush(f"{spaces}:{name}", "rubbish")  # type: ignore[misc]
            for _ in range(3):
                for work in (index.heads(), index.enqueue([a_ticket("b", 2)]), index.rebuild(in_batches())):
                    with suppress(Unavailable):
                        await work
            await index.rebuild(in_batches([a_ticket("a")]))
            [place] = await index.enqueue([a_ticket("b", 2)])
            assert place.position == 2
            assert [head.count for head in await index.heads()] == [2]

    async def test_a_job_that_cannot_be_read_is_left_out_and_the_index_given_up(self, redis: Redis) -> None:
        own = a_bucket().id
        for rubbish in ("", f"normal:{own}:[]", f"normal:{own}:{{", f'normal:{own}:[-1,1,0,0,"low",1,1,1,1,0]'):
            index = RedisQueueIndex(redis, "tf:test")
            await index.rebuild(in_batches([a_ticket("a"), a_ticket("b", 2)]))
            await redis.hset("tf:test:at", "b", rubbish)  # type: ignore[misc]
            assert [w.member.job_id for w in await index.listing(None, 5)] == ["a"]
            assert await redis.keys() == []

    async def test_a_rebuild_keeps_the_bound_whatever_comes_meanwhile(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        tickets = unlike(300)
        await index.enqueue(tickets)

        async def cursor() -> AsyncIterator[list[Ticket]]:
            yield tickets[:100]
            await index.enqueue(unlike(100, start=500))
            await index.enqueue(tickets[:150])
            yield tickets[100:]

        assert await index.rebuild(cursor()) == 400
        heads = await index.heads()
        assert sum(head.count for head in heads) == 400
        assert len(heads) <= ROOM[Resolution.OCTAVE] + 1
        assert await index.epoch() is not None

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
