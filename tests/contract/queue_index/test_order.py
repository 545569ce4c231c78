"""The order in which jobs wait, and where they stand in it."""

from __future__ import annotations

from app.domain.ports import QueueIndex
from app.domain.records import OrderPoint, Place, Waiting
from tests.contract.queue_index.conftest import HIGH, LOW, ids
from tests.support.queueing import a_bucket, a_ticket, in_batches, member_of


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
