"""Leases over every store: one holder at a time, epochs that only grow, and whoever was fenced cannot renew."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.storage.leases import MongoLeaseStore
from app.storage.mongo import Database
from tests.contract.conftest import Stores
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
    old = await stores.leases.take_over("node:a", "worker-1", LONG)
    new = await stores.leases.take_over("node:a", "worker-2", LONG)
    assert new.epoch == old.epoch + 1
    assert await stores.leases.renew(old, LONG) is None
    await stores.leases.give_back(old)
    assert await stores.leases.renew(new, LONG) is not None
    assert await stores.leases.acquire("node:a", "worker-3", LONG) is None


async def test_the_same_worker_that_registers_anew_fences_itself(stores: Stores) -> None:
    old = await stores.leases.take_over("node:a", "worker", LONG)
    new = await stores.leases.take_over("node:a", "worker", LONG)
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
    held = await leases.take_over("leader", "a", LONG)
    for nonsense in (None, "tomorrow"):
        await mongo["leases"].update_one({"_id": "leader"}, {"$set": {"until": nonsense, "epoch": held.epoch}})
        assert await leases.renew(held, LONG) is None
    assert await leases.acquire("leader", "b", LONG) is not None
