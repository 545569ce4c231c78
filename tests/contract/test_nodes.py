"""Nodes over every store: the ledger never leaks and never counts twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from app.domain.nodes import Allocation, Drain, Node, NodeReport, NodeState
from app.domain.ports import node_lease
from app.domain.resources import Vector, total
from app.storage.mongo import Database
from app.storage.nodes import MongoNodeStore
from tests.contract.conftest import Stores
from tests.support.drivers import AFTER, BEFORE, UNCONFIRMED, LosingCollection
from tests.support.leases import taken
from tests.unit.domain.builders import NOW

CAPACITY = Vector(4_000, 8_192, 4, 100)
SMALL = Vector(1_000, 1_024, 0, 1)
SECOND = timedelta(seconds=1)


def a_node(node_id: str = "node-1", **fields: Any) -> Node:
    node = Node(
        id=node_id,
        state=NodeState.READY,
        epoch=1,
        labels={"zone": "a", "gpu.kind": "$a100"},
        capacity=CAPACITY,
        free=CAPACITY,
        facts={"cpu": "$model", "threads": 8},
        registered_at=NOW,
    )
    return replace(node, **fields)


def run(job: str, run_no: int = 1, vector: Vector = SMALL, gpus: tuple[int, ...] = ()) -> Allocation:
    return Allocation(job, run_no, vector, gpus)


async def read(stores: Stores, node_id: str = "node-1") -> Node:
    """The node, after its ledger was seen to balance."""
    node = await stores.nodes.get(node_id)
    assert node is not None
    assert node.free + total([a.vector for a in node.allocations]) == node.capacity
    return node


class TestRegister:
    async def test_what_goes_in_comes_out(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        assert await stores.nodes.get("node-1") == a_node()
        assert await stores.nodes.get("node-2") is None

    async def test_documents_with_ids_of_any_type_hide_no_node(self, mongo: Database) -> None:
        store = MongoNodeStore(mongo)
        await store.register(a_node())
        for id_ in ({"n": 1}, 7, None):
            await mongo["nodes"].insert_one({"_id": id_, "state": "READY"})
            await mongo["leases"].insert_one({"_id": id_, "until": NOW})
        assert await store.all() == [a_node()]

    async def test_all_by_id_with_their_leases(self, stores: Stores) -> None:
        for node_id in ("node-b", "node-a"):
            await stores.nodes.register(a_node(node_id))
        lease = await taken(stores.leases, node_lease("node-a"), "worker", 60 * SECOND)
        assert [(n.id, n.lease_until) for n in await stores.nodes.all()] == [("node-a", lease.until), ("node-b", None)]

    async def test_again_keeps_allocations_and_counts_free_anew(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        held = [run("job_a", gpus=(1,), vector=replace(SMALL, gpu=1)), run("job_b", 2)]
        assert await stores.nodes.reserve("node-1", held)
        larger = Vector(8_000, 8_192, 2, 100)
        again = a_node(state=NodeState.DRAINING, epoch=2, labels={"zone": "b"}, facts={}, capacity=larger, logical=True)
        await stores.nodes.register(again)
        node = await read(stores)
        assert node == replace(again, allocations=tuple(held), free=Vector(6_000, 6_144, 1, 98))
        assert node.free_gpus == (0,)

    async def test_below_what_is_held_leaves_free_negative_and_nothing_fits(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        assert await stores.nodes.reserve("node-1", [run("job_a", vector=CAPACITY, gpus=(0, 1, 2, 3))])
        await stores.nodes.register(a_node(capacity=Vector(1_000, 1_024, 0, 10)))
        assert (await read(stores)).free == Vector(-3_000, -7_168, -4, -90)
        assert not await stores.nodes.reserve("node-1", [run("job_b")])
        assert await stores.nodes.release("node-1", [("job_a", 1)]) == 1
        assert (await read(stores)).free == Vector(1_000, 1_024, 0, 10)

    async def test_many_at_once_make_one_node(self, stores: Stores) -> None:
        await asyncio.gather(*(stores.nodes.register(a_node()) for _ in range(10)))
        assert await stores.nodes.all() == [a_node()]


class TestReserve:
    async def test_twice_holds_once(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        wanted = [run("job_a", vector=replace(SMALL, gpu=2), gpus=(0, 2)), run("job_b", 7)]
        assert await stores.nodes.reserve("node-1", wanted)
        assert await stores.nodes.reserve("node-1", wanted)
        node = await read(stores)
        assert (node.allocations, node.free, node.free_gpus) == (tuple(wanted), Vector(2_000, 6_144, 2, 98), (1, 3))

    @pytest.mark.parametrize(
        "refused",
        [
            pytest.param([run("job_b"), run("job_c", vector=Vector(2_500, 0, 0, 0))], id="too little for both"),
            pytest.param([run("job_b", vector=Vector(0, 9_000, 0, 0))], id="memory"),
            pytest.param([run("job_b", vector=Vector(0, 0, 4, 0), gpus=(0, 1, 2, 3))], id="a GPU is taken"),
            pytest.param([run("job_b", gpus=(9,))], id="no such GPU"),
            pytest.param([run("job_b", gpus=(1,)), run("job_c", gpus=(1,))], id="one GPU for two"),
            pytest.param([run("job_a", vector=Vector(1_000, 1_024, 0, 0))], id="held with another vector"),
            pytest.param([run("job_b"), run("job_a", vector=replace(SMALL, gpu=1), gpus=(0,))], id="one is held"),
        ],
    )
    async def test_all_or_none(self, stores: Stores, refused: list[Allocation]) -> None:
        await stores.nodes.register(a_node())
        held = run("job_a", vector=replace(SMALL, gpu=1), gpus=(0,))
        assert await stores.nodes.reserve("node-1", [held])
        before = await read(stores)
        assert not await stores.nodes.reserve("node-1", refused)
        assert await read(stores) == before

    @pytest.mark.parametrize("state", [NodeState.DRAINING, NodeState.LOST])
    async def test_only_on_a_ready_node(self, stores: Stores, state: NodeState) -> None:
        await stores.nodes.register(a_node())
        assert await stores.nodes.set_state("node-1", state, "drain", NOW)
        assert not await stores.nodes.reserve("node-1", [run("job_a")])
        assert not await stores.nodes.reserve("node-none", [run("job_a")])

    async def test_only_of_the_epoch_that_is_named(self, stores: Stores) -> None:
        """A node that registered anew since somebody looked may carry other labels."""
        await stores.nodes.register(a_node(epoch=2))
        assert not await stores.nodes.reserve("node-1", [run("job_a")], 1)
        assert await stores.nodes.reserve("node-1", [run("job_a")], 2)
        assert await stores.nodes.reserve("node-1", [run("job_a")], 1), "it is held already"

    async def test_an_id_with_a_dot_is_refused(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        with pytest.raises(ValueError, match="no job id"):
            await stores.nodes.reserve("node-1", [run("job.a")])

    async def test_rivals_never_take_more_than_there_is(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        gpu = Vector(500, 512, 1, 1)
        taken = await asyncio.gather(
            *(stores.nodes.reserve("node-1", [run(f"job_{n}", vector=gpu, gpus=(n % 4,))]) for n in range(20))
        )
        node = await read(stores)
        assert sum(taken) == len(node.allocations) == 4
        assert (node.free_gpus, node.free.gpu) == ((), 0)


class TestRelease:
    async def test_twice_gives_back_once(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.reserve("node-1", [run("job_a", vector=replace(SMALL, gpu=1), gpus=(3,)), run("job_b")])
        assert await stores.nodes.release("node-1", [("job_a", 1)]) == 1
        assert await stores.nodes.release("node-1", [("job_a", 1)]) == 0
        node = await read(stores)
        assert ([a.job_id for a in node.allocations], node.free_gpus) == (["job_b"], (0, 1, 2, 3))

    async def test_what_is_not_held_is_skipped(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.reserve("node-1", [run("job_a", 2)])
        assert await stores.nodes.release("node-1", [("job_a", 1), ("job_z", 1), ("job_a", 2), ("job_a", 2)]) == 1
        assert await stores.nodes.release("node-none", [("job_a", 2)]) == 0
        assert (await read(stores)).free == CAPACITY

    async def test_many_at_once_leave_nothing(self, stores: Stores) -> None:
        """Each run is given back by two at once, while others reserve and release beside them."""
        tiny = Vector(10, 10, 0, 0)
        for node_id in ("node-1", "node-2"):
            await stores.nodes.register(a_node(node_id))
            assert await stores.nodes.reserve(node_id, [run(f"job_{n}", vector=tiny) for n in range(40)])

        async def come_and_go(number: int) -> int:
            assert await stores.nodes.reserve("node-1", [run("job_x", number, tiny)])
            return await stores.nodes.release("node-1", [("job_x", number)])

        released = await asyncio.gather(
            *(stores.nodes.release(node, [(f"job_{n}", 1)]) for n in range(40) for node in ("node-1", "node-2") * 2),
            *(come_and_go(n) for n in range(10)),
        )
        assert sum(released) == 90
        for node_id in ("node-1", "node-2"):
            node = await read(stores, node_id)
            assert (node.allocations, node.free) == ((), CAPACITY)


class TestState:
    async def test_is_set_once(self, mongo: Database) -> None:
        store = MongoNodeStore(mongo)
        await store.register(a_node())
        first = await mongo["nodes"].find_one({"_id": "node-1"})
        assert first is not None
        assert first["last"] == {"state": "READY", "reason": "registered", "at": NOW}
        assert await store.set_state("node-1", NodeState.LOST, "lease_expired", NOW + SECOND)
        assert await store.set_state("node-1", NodeState.LOST, "again", NOW + 2 * SECOND)
        then = await mongo["nodes"].find_one({"_id": "node-1"})
        assert then is not None
        assert then["last"] == {"state": "LOST", "reason": "lease_expired", "at": NOW + SECOND}

    async def test_of_no_node(self, stores: Stores) -> None:
        assert not await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW)

    async def test_only_of_the_epoch_that_is_named(self, stores: Stores) -> None:
        await stores.nodes.register(a_node(epoch=2))
        assert not await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW, epoch=1)
        assert (await read(stores)).state is NodeState.READY
        assert await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW, epoch=2)
        assert await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW, epoch=2)
        assert (await read(stores)).state is NodeState.LOST
        assert not await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW, epoch=1)


class TestForget:
    PATIENT = Drain("autoscaler", None, NOW, patient=True)

    @pytest.mark.parametrize("wish", [None, PATIENT])
    async def test_a_lost_node_that_holds_nothing(self, stores: Stores, wish: Drain | None) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_drain("node-1", wish, NOW)
        assert not await stores.nodes.forget("node-1"), "it lives"
        await stores.nodes.set_state("node-1", NodeState.LOST, "the worker stopped", NOW)
        assert await stores.nodes.forget("node-1")
        assert await stores.nodes.get("node-1") is None
        assert not await stores.nodes.forget("node-1")

    async def test_not_while_it_holds_something(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        assert await stores.nodes.reserve("node-1", [run("job_a")])
        await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW)
        assert not await stores.nodes.forget("node-1")

    async def test_not_against_a_users_wish(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_drain("node-1", Drain("ann", None, NOW), NOW)
        await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW)
        assert not await stores.nodes.forget("node-1")


class TestDrain:
    WISH = Drain("ann", "$maintenance", NOW)
    PATIENT = Drain("autoscaler", None, NOW, patient=True)

    async def test_a_ready_node_drains_and_comes_back(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        drained = await stores.nodes.set_drain("node-1", self.WISH, NOW)
        assert drained == await stores.nodes.get("node-1")
        assert drained == a_node(state=NodeState.DRAINING, drain=self.WISH)
        assert not await stores.nodes.reserve("node-1", [run("job_a")])

        assert await stores.nodes.set_drain("node-1", None, NOW) == a_node()
        assert await stores.nodes.set_drain("node-none", self.WISH, NOW) is None

    async def test_the_wish_outlives_registrations(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_drain("node-1", self.WISH, NOW)
        await stores.nodes.register(a_node(epoch=2))
        assert await read(stores) == a_node(epoch=2, state=NodeState.DRAINING, drain=self.WISH)

        await stores.nodes.set_drain("node-1", None, NOW)
        await stores.nodes.register(a_node(epoch=3))
        assert await read(stores) == a_node(epoch=3)

    async def test_a_patient_wish_ends_when_the_node_registers(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        drained = await stores.nodes.set_drain("node-1", self.PATIENT, NOW)
        assert drained == a_node(state=NodeState.DRAINING, drain=self.PATIENT) == await read(stores)
        await stores.nodes.register(a_node(epoch=2))
        assert await read(stores) == a_node(epoch=2)

    async def test_a_patient_wish_gives_way_and_takes_no_others_place(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_drain("node-1", self.PATIENT, NOW, patiently=True)
        assert (await read(stores)).drain == self.PATIENT
        await stores.nodes.set_drain("node-1", self.WISH, NOW)
        for wish in (self.PATIENT, None):
            node = await stores.nodes.set_drain("node-1", wish, NOW, patiently=True)
            assert node == a_node(state=NodeState.DRAINING, drain=self.WISH) == await read(stores)

    async def test_a_patient_wish_is_taken_back(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_drain("node-1", self.PATIENT, NOW, patiently=True)
        assert await stores.nodes.set_drain("node-1", None, NOW, patiently=True) == a_node()

    async def test_a_lost_node_stays_lost_until_it_registers(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_state("node-1", NodeState.LOST, "lease_expired", NOW)
        for wish in (self.WISH, None, self.WISH):
            node = await stores.nodes.set_drain("node-1", wish, NOW)
            assert node is not None
            assert (node.state, node.drain) == (NodeState.LOST, wish)
        await stores.nodes.register(a_node(epoch=2))
        assert (await read(stores)).state is NodeState.DRAINING

    async def test_a_worker_that_is_stopping_is_not_called_back(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.set_state("node-1", NodeState.DRAINING, "the worker is stopping", NOW)
        await stores.nodes.set_drain("node-1", None, NOW)
        assert (await read(stores)).state is NodeState.DRAINING

    async def test_is_told_once_with_its_reason(self, mongo: Database) -> None:
        store = MongoNodeStore(mongo)
        await store.register(a_node())
        for n in range(2):
            await store.set_drain("node-1", self.WISH, NOW + n * SECOND)
        found = await mongo["nodes"].find_one({"_id": "node-1"})
        assert found is not None
        assert found["last"] == {"state": "DRAINING", "reason": "drained", "at": NOW}
        await store.register(a_node(epoch=2))
        found = await mongo["nodes"].find_one({"_id": "node-1"})
        assert found is not None
        assert found["last"] == {"state": "DRAINING", "reason": "registered", "at": NOW}


class TestLostAnswers:
    """Each write is sent again until it is answered, and counts once."""

    @pytest.mark.parametrize("fate", [BEFORE, AFTER, UNCONFIRMED])
    async def test_the_ledger_balances(self, mongo: Database, fate: str) -> None:
        losing = LosingCollection(mongo["nodes"], [fate] * 3)
        store = MongoNodeStore(cast("Any", {"nodes": losing, "leases": mongo["leases"]}))
        await store.register(a_node())
        assert len(losing.sent) == 4

        losing.lose(fate)
        assert await store.reserve("node-1", [run("job_a"), run("job_b")])
        losing.lose(fate)
        await store.release("node-1", [("job_a", 1)])
        assert len(losing.sent) == 8
        node = await store.get("node-1")
        assert node == a_node(allocations=(run("job_b"),), free=CAPACITY - SMALL)

    @pytest.mark.parametrize("fate", [BEFORE, AFTER, UNCONFIRMED])
    async def test_a_reservation_that_found_no_room_stays_refused(self, mongo: Database, fate: str) -> None:
        losing = LosingCollection(mongo["nodes"], [])
        store = MongoNodeStore(cast("Any", {"nodes": losing, "leases": mongo["leases"]}))
        await store.register(a_node())
        losing.lose(fate)
        assert not await store.reserve("node-1", [run("job_a", vector=Vector(4_001, 0, 0, 0))])
        assert await store.get("node-1") == a_node()


class TestReport:
    """What a node says of itself."""

    async def test_it_is_kept_over_registrations_and_nothing_else_is_touched(self, stores: Stores) -> None:
        await stores.nodes.register(a_node())
        await stores.nodes.reserve("node-1", [run("job_a")])
        said = NodeReport(NOW, NOW, 1.25, 300.5, {"end": 2})
        await stores.nodes.report("node-1", said, 1)
        node = await read(stores)
        assert (node.report, len(node.allocations)) == (said, 1)
        await stores.nodes.register(a_node(epoch=2))
        assert (await read(stores)).report == said

    async def test_what_comes_late_or_from_nowhere_is_nothing(self, stores: Stores) -> None:
        await stores.nodes.register(a_node(epoch=2))
        await stores.nodes.report("node-1", NodeReport(NOW, NOW), 1)
        await stores.nodes.report("node-9", NodeReport(NOW, NOW), 1)
        assert (await read(stores)).report is None
        assert await stores.nodes.get("node-9") is None

    @pytest.mark.parametrize(
        "said",
        [
            5,
            "text",
            {"at": NOW},
            {"cpu": 1},
            {"at": "now", "since": NOW},
            {"at": NOW, "since": NOW, "cpu_cores": "many"},
            {"at": NOW, "since": NOW, "cpu_cores": float("nan")},
            {"at": NOW, "since": NOW, "refused": {"end": "often"}},
            {"at": NOW, "since": NOW, "refused": 5},
        ],
    )
    async def test_one_that_cannot_be_read_hides_no_node(self, mongo: Database, said: Any) -> None:
        store = MongoNodeStore(mongo)
        await store.register(a_node())
        await mongo["nodes"].update_one({"_id": "node-1"}, {"$set": {"report": said}})
        [node] = await store.all()
        assert node.report is None
