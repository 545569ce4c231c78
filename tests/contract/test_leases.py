"""Leases over every store: one holder at a time, epochs that only grow, and whoever was fenced cannot renew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from app.domain.ports import Lease
from app.storage.leases import FENCED, MongoLeaseStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores
from tests.support.drivers import AFTER, BEFORE, UNCONFIRMED, LosingCollection
from tests.support.leases import taken
from tests.support.wait import until

LONG, SHORT = timedelta(minutes=1), timedelta(milliseconds=30)


async def test_it_is_taken_once(stores: Stores) -> None:
    lease = await stores.leases.acquire("leader", "a", LONG)
    assert lease is not None
    assert (lease.name, lease.holder, lease.epoch) == ("leader", "a", 1)
    assert await stores.leases.acquire("leader", "b", LONG) is None
    assert await stores.leases.acquire("other", "b", LONG) is not None


async def test_of_many_at_once_one_takes_it(stores: Stores) -> None:
    taken = await asyncio.gather(*(stores.leases.acquire("leader", f"holder-{n}", LONG) for n in range(20)))
    assert len([lease for lease in taken if lease]) == 1


async def test_the_same_holder_takes_it_again_under_a_new_epoch(stores: Stores) -> None:
    first = await stores.leases.acquire("leader", "$a", LONG)
    second = await stores.leases.acquire("leader", "$a", LONG)
    assert first is not None
    assert second is not None
    assert (first.holder, second.epoch) == ("$a", 2)
    assert await stores.leases.renew(first, LONG) is None


async def test_it_ends_by_the_clock_of_the_store(stores: Stores) -> None:
    before = await stores.leases.server_time()
    lease = await stores.leases.acquire("leader", "a", LONG)
    after = await stores.leases.server_time()
    assert lease is not None
    assert before + LONG <= lease.until <= after + LONG


async def test_an_expired_one_is_free(stores: Stores) -> None:
    await stores.leases.acquire("leader", "a", SHORT)
    taken = await until(lambda: stores.leases.acquire("leader", "b", LONG))
    assert taken is not None
    assert (taken.holder, taken.epoch) == ("b", 2)


async def test_renewing_keeps_the_epoch(stores: Stores) -> None:
    lease = await stores.leases.acquire("leader", "a", SHORT)
    assert lease is not None
    renewed = await stores.leases.renew(lease, LONG)
    assert renewed is not None
    assert (renewed.epoch, renewed.holder) == (1, "a")
    assert renewed.until > lease.until + SHORT
    assert await stores.leases.acquire("leader", "b", LONG) is None


async def test_an_expired_one_that_nobody_took_is_renewed(stores: Stores) -> None:
    """An outage of the store costs time, not work."""
    lease = await stores.leases.acquire("node:a", "worker", SHORT)
    assert lease is not None

    async def expired() -> bool:
        return await stores.leases.server_time() > lease.until

    await until(expired)
    assert await stores.leases.renew(lease, LONG) is not None


async def test_whoever_was_fenced_cannot_renew_nor_give_back(stores: Stores) -> None:
    old = await taken(stores.leases, "node:a", "worker-1", LONG)
    new = await taken(stores.leases, "node:a", "worker-2", LONG, held=old)
    assert new.epoch == old.epoch + 1
    assert await stores.leases.renew(old, LONG) is None
    await stores.leases.give_back(old)
    assert await stores.leases.renew(new, LONG) is not None
    assert await stores.leases.acquire("node:a", "worker-3", LONG) is None


async def test_the_same_worker_that_registers_anew_fences_itself(stores: Stores) -> None:
    old = await taken(stores.leases, "node:a", "worker", LONG)
    new = await taken(stores.leases, "node:a", "worker", LONG)
    assert await stores.leases.renew(old, LONG) is None
    assert await stores.leases.renew(new, LONG) is not None


async def test_given_back_it_is_free_at_once_and_the_epoch_goes_on(stores: Stores) -> None:
    lease = await stores.leases.acquire("leader", "a", LONG)
    assert lease is not None
    await stores.leases.give_back(lease)
    taken = await stores.leases.acquire("leader", "b", LONG)
    assert taken is not None
    assert (taken.holder, taken.epoch) == ("b", 2)


async def test_a_lease_without_an_end_is_free_and_cannot_be_renewed(mongo: Database) -> None:
    """BSON compares across types: a null would be older than any date, a string newer."""
    leases = MongoLeaseStore(mongo)
    held = await taken(leases, "leader", "a", LONG)
    for nonsense in (None, "tomorrow"):
        await mongo["leases"].update_one({"_id": "leader"}, {"$set": {"until": nonsense, "epoch": held.epoch}})
        assert await leases.renew(held, LONG) is None
    assert await leases.acquire("leader", "b", LONG) is not None


class TestFence:
    async def lapsed(self, stores: Stores, name: str = "node:a") -> Lease:
        """A lease of "worker" whose time is over."""
        lease = await stores.leases.acquire(name, "worker", SHORT)
        assert lease is not None

        async def is_over() -> bool:
            return name in {found.name for found in await stores.leases.lapsed()}

        await until(is_over)
        return lease

    async def test_what_is_over_is_told_and_what_lives_is_not(self, stores: Stores) -> None:
        await stores.leases.acquire("node:b", "worker", LONG)
        lease = await self.lapsed(stores)
        assert await stores.leases.lapsed() == [lease]

        assert await stores.leases.renew(lease, LONG) is not None
        assert await stores.leases.lapsed() == []

    async def test_it_ends_an_epoch_whose_time_is_over_for_good(self, stores: Stores) -> None:
        lease = await self.lapsed(stores)

        assert await stores.leases.fence("node:a", lease.epoch)
        assert await stores.leases.renew(lease, LONG) is None
        again = await stores.leases.acquire("node:a", "worker", LONG)
        assert again is not None
        assert again.epoch == lease.epoch + 2

    async def test_it_is_true_of_an_epoch_that_ended_before_and_harms_no_newer_one(self, stores: Stores) -> None:
        lease = await self.lapsed(stores)
        assert await stores.leases.fence("node:a", lease.epoch)
        newer = await stores.leases.acquire("node:a", "worker", LONG)
        assert newer is not None

        assert await stores.leases.fence("node:a", lease.epoch)
        assert await stores.leases.fence("node:nobody", 3)
        assert await stores.leases.renew(newer, LONG) is not None

    async def test_it_spares_what_lives(self, stores: Stores) -> None:
        lease = await stores.leases.acquire("node:a", "worker", LONG)
        assert lease is not None
        assert not await stores.leases.fence("node:a", lease.epoch)
        assert not await stores.leases.fence("node:a", lease.epoch + 1)
        assert await stores.leases.renew(lease, LONG) is not None

    async def test_of_a_fence_and_a_renewal_at_once_one_wins(self, stores: Stores) -> None:
        for n in range(10):
            lease = await self.lapsed(stores, f"node:{n}")
            fenced, renewed = await asyncio.gather(
                stores.leases.fence(lease.name, lease.epoch), stores.leases.renew(lease, LONG)
            )
            assert fenced is (renewed is None)

    @pytest.mark.parametrize("fate", [BEFORE, AFTER, UNCONFIRMED])
    async def test_its_answer_may_be_lost(self, mongo: Database, fate: str) -> None:
        store = MongoLeaseStore(mongo)
        lease = await store.acquire("node:a", "worker", SHORT)
        assert lease is not None
        await until(store.lapsed)
        losing: Any = {"leases": LosingCollection(mongo["leases"], [fate])}

        assert await MongoLeaseStore(losing).fence("node:a", lease.epoch)
        found = await mongo["leases"].find_one({"_id": "node:a"})
        assert found is not None
        assert (found["epoch"], found["holder"]) == (lease.epoch + 1, FENCED)

    async def test_a_lease_without_an_end_neither_lapses_nor_is_fenced(self, mongo: Database) -> None:
        store = MongoLeaseStore(mongo)
        lease = await store.acquire("node:a", "worker", SHORT)
        assert lease is not None
        for nonsense in (None, "yesterday"):
            await mongo["leases"].update_one({"_id": "node:a"}, {"$set": {"until": nonsense}})
            assert await store.lapsed() == []
            assert not await store.fence("node:a", lease.epoch)


async def test_the_primary_stays_the_same_until_another_election(stores: Stores) -> None:
    first = await stores.leases.primary()
    assert first.member
    assert first.election
    assert await stores.leases.primary() == first


async def test_another_election_is_told(mongo: Database) -> None:
    leases = MongoLeaseStore(mongo)
    before = await leases.primary()

    class Elected:
        """The same database after an election."""

        def __getitem__(self, name: str) -> Any:
            return mongo[name]

        async def command(self, command: str) -> dict[str, Any]:
            return {**await mongo.command(command), "electionId": "7fffffff00000000000000ff"}

    after = await MongoLeaseStore(cast("Any", Elected())).primary()
    assert (after.member, after.election != before.election) == (before.member, True)
