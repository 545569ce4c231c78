"""What the autoscaler hands on: its state, under the term of its leader, and its last plan."""

from __future__ import annotations

import pytest

from app.domain.capacity.deciding import Limit
from app.domain.capacity.rates import Arrived, Rate
from app.domain.capacity.report import CapacityPlan, Count, Leaver, Pending, Waits
from app.domain.capacity.state import Asked, Boot, CapacityState, Wanted
from app.domain.priority import Priority
from app.domain.resources import Vector
from app.storage.capacity import CAPACITY, MongoCapacityStore
from app.storage.mongo import connect
from tests.contract.stores.conftest import SmallStores

VECTOR = Vector(1_000, 2_048, 1, 3)
STATE = CapacityState(
    history=(Wanted(10, {"gpu": 2, "small": 0}),),
    since={"node-1": 189_388_800_000_000},
    boots=(Boot("p1", "gpu", 2, 5),),
    asked=Asked("p1", 5, {"gpu": 2}, ("node-9",), {"gpu": 3}, 1, 7),
    leaving={"node-8": 3},
    barred={"small": 9},
    rates=(Rate("b1", Priority.LOW, (VECTOR, (("disk", "ssd"),), True), 1.5, (Arrived(60, 4),)),),
    trouble="no quota",
)
WAITS = Waits(Priority.HIGH, "b1", 3, 300.0, None, 2, True, VECTOR, (("disk", "ssd"),))
PLAN = CapacityPlan(
    now=10,
    provider="local",
    desired=(Count("gpu", 2),),
    present=(Count("gpu", 1, 1, 1), Count(None, 2)),
    add=(Count("gpu", 1),),
    drain=(Leaver("node-9", 12),),
    reasons=(WAITS,),
    limited_by=(Limit("step", None, 4.0, 9.0),),
    cost_present=1.5,
    cost_desired=3.0,
    unplannable=(WAITS,),
    pending=Pending("p1", 5, 1),
    trouble="no quota",
)


async def test_what_was_kept_is_what_the_next_leader_begins_with(small: SmallStores) -> None:
    assert await small.capacity.begin(1) == CapacityState()
    assert await small.capacity.plan() is None
    assert await small.capacity.keep(STATE, PLAN, 1)
    assert await small.capacity.begin(2) == STATE
    assert await small.capacity.plan() == PLAN


async def test_without_a_plan_the_last_one_stays(small: SmallStores) -> None:
    await small.capacity.begin(1)
    await small.capacity.keep(STATE, PLAN, 1)
    assert await small.capacity.keep(CapacityState(), None, 1)
    assert await small.capacity.plan() == PLAN
    assert await small.capacity.begin(1) == CapacityState()


async def test_from_the_moment_in_which_another_begins_a_leader_keeps_nothing(small: SmallStores) -> None:
    await small.capacity.begin(1)
    await small.capacity.begin(2)
    assert not await small.capacity.keep(STATE, PLAN, 1)
    assert await small.capacity.begin(2) == CapacityState() and await small.capacity.plan() is None


async def test_a_leader_that_begins_late_takes_nothing_from_its_successor(small: SmallStores) -> None:
    await small.capacity.begin(2)
    await small.capacity.keep(STATE, PLAN, 2)
    assert await small.capacity.begin(1) is None
    assert not await small.capacity.keep(CapacityState(), None, 1)
    assert await small.capacity.keep(STATE, PLAN, 2)


@pytest.mark.parametrize(
    "rubbish", [{"state": {"boots": [{}]}}, {"state": 7}, {"state.since": "x"}, {"plan": {"a": 1}}]
)
async def test_what_cannot_be_read_begins_anew(mongo_uri: str, database: str, rubbish: dict[str, object]) -> None:
    handle = connect(mongo_uri, database)
    store = MongoCapacityStore(handle)
    await store.begin(1)
    await store.keep(STATE, PLAN, 1)
    await handle["scheduler"].update_one({"_id": CAPACITY}, {"$set": rubbish})

    state, plan = await store.begin(2), await store.plan()
    assert (state, plan) in [(CapacityState(), PLAN), (STATE, None)]
    assert await store.keep(STATE, PLAN, 2) and await store.plan() == PLAN
    await handle.close()
