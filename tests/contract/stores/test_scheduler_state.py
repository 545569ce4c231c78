"""What the scheduler hands on: its state, its calibration, and the pause of the queue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.calibration import Announcement, Calibration, learn
from app.domain.fairness import Usage
from app.domain.priority import Priority
from app.domain.promises import Promise
from app.domain.queueing import Demand
from app.domain.resources import Vector
from app.domain.scheduler_state import QueuePause, SchedulerState
from app.storage.mongo import connect
from app.storage.scheduler_state import STATE, MongoSchedulerStore
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

DEMAND = Demand(
    Vector(1_000, 2_048, 1, 3), Priority.LOW, 4.0, 5, 6, 7, (("disk", "ssd"),), (("zone", "a"),), True, True
)
PROMISE = Promise("job_a", "node.1", 10, 20, 5, 2, DEMAND)
STANDING = SchedulerState(-17, (PROMISE,), {"a.tenant": Usage((1.0, 2.5, 0.0, 4.0), 99)}, (7, 8))


async def test_a_state_is_read_as_it_was_kept(small: SmallStores) -> None:
    assert await small.scheduler.state() == SchedulerState()
    assert await small.scheduler.keep(STANDING, 3)
    assert await small.scheduler.state() == STANDING


async def test_a_former_leader_cannot_write_over_a_later_one(small: SmallStores) -> None:
    assert await small.scheduler.keep(STANDING, 3)
    assert not await small.scheduler.keep(SchedulerState(), 2)
    assert await small.scheduler.state() == STANDING
    assert await small.scheduler.keep(replace(STANDING, credit=1), 4)
    assert (await small.scheduler.state()).credit == 1


async def test_what_was_learned_is_read_as_it_was_kept(small: SmallStores) -> None:
    said = Announcement(Priority.HIGH, 0.0, 700.0, 500.0, 900.0, 300.0)
    learned = learn(learn(Calibration(), said, 600.0), said.because("cancelled"), 1.0)

    assert await small.scheduler.calibration() == Calibration()
    assert await small.scheduler.keep_calibration(learned, 1)
    assert await small.scheduler.calibration() == learned
    assert not await small.scheduler.keep_calibration(Calibration(), 0)


async def test_of_two_pauses_the_first_stands_until_it_is_taken_away(small: SmallStores) -> None:
    first, second = QueuePause("ada", "new disks", NOON), QueuePause("ben", None, NOON)

    assert await small.scheduler.pause() is None
    assert await small.scheduler.set_pause(first) == first
    assert await small.scheduler.set_pause(second) == first
    assert await small.scheduler.pause() == first
    assert await small.scheduler.set_pause(None) is None
    assert await small.scheduler.pause() is None
    assert await small.scheduler.set_pause(second) == second


@pytest.mark.parametrize("rubbish", [{"credit": "much"}, {"promises": [{}]}, {"usage": [["a"]]}])
async def test_a_state_that_cannot_be_read_begins_anew(
    mongo_uri: str, database: str, rubbish: dict[str, object]
) -> None:
    handle = connect(mongo_uri, database)
    store = MongoSchedulerStore(handle)
    await store.keep(STANDING, 1)
    await handle["scheduler"].update_one({"_id": STATE}, {"$set": rubbish})

    assert await store.state() == SchedulerState()
    await handle.close()
