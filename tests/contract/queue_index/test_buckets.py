"""Buckets: heads and members, and how exact they are."""

from __future__ import annotations

from dataclasses import replace

from app.domain.ports import QueueIndex
from app.domain.queueing import MOST_BUCKETS, ROOM, Resolution, Ticket
from tests.contract.queue_index.conftest import HIGH, LOW
from tests.support.queueing import a_bucket, a_ticket, member_of


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
