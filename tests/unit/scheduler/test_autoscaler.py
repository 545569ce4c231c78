"""The autoscaler over memory adapters: what it asks of a provider, what it stores, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from app.domain.capacity.report import CapacityPlan
from app.domain.nodes import Node, NodeState
from app.domain.ports import Ack, CapacityProvider, NoProvider, ProvidedNode, node_lease
from app.domain.resources import Vector
from app.operations.drain import drain_node, give_up_node, resume_node
from app.scheduler.autoscaler import Autoscaler, Sight
from tests.support.leases import taken
from tests.unit.scheduler.cluster import Cluster

TYPES = {"small": {"cpu_cores": 8, "memory_gb": 32, "price_per_hour": 2, "boot_seconds": 100, "max": 6}}
EIGHT = Vector.from_units({"cpu_cores": 8, "memory_gb": 32, "gpu_count": 0, "storage_gb": 100})


class Crash(Exception):
    """The process dies here."""


@dataclass
class FakeProvider:
    """Makes nodes as told, each plan once. `answers`: what it says in turn, an exception where it says nothing."""

    name: str = "fake"
    acts: bool = True
    answers: list[Ack | Exception] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    made: list[ProvidedNode] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    taken_away: list[tuple[str, ...]] = field(default_factory=list)
    tells: bool = True

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        answer = self.answers.pop(0) if self.answers else Ack(accepted=True)
        self.total = dict(total)
        if plan_id not in self.told and not (isinstance(answer, Ack) and not answer.accepted):
            new = [(kind, n) for kind, count in add.items() for n in range(count)]
            self.made += [ProvidedNode(f"{kind}-{plan_id}-{n}", kind, plan_id) for kind, n in new]
            self.gone += drain
        self.told.append(plan_id)
        self.taken_away.append(tuple(drain))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        return self.made if self.tells else None

    async def aclose(self) -> None:
        return None


class World:
    """A cluster with a provider; `look` is a cycle and a look of the autoscaler."""

    def __init__(self, provider: CapacityProvider, **settings: object) -> None:
        self.cluster = Cluster(**{"NODE_TYPES": TYPES, **settings})
        object.__setattr__(self.cluster.services, "provider", provider)
        self.services, self.clock = self.cluster.services, self.cluster.clock
        self.term = 1
        self.crash_at: str | None = None
        self.autoscaler = self.successor()

    def successor(self) -> Autoscaler:
        """What a process that leads next has."""
        return Autoscaler(self.services, self.cluster.metrics, lambda: self.term, self._sight, self._checkpoint)

    def _sight(self) -> Sight | None:
        cycle = self.cluster.cycle
        board = cycle.publisher.board
        return None if cycle.left is None or board is None else Sight(cycle.left, board.forecast, cycle.arrivals.taken)

    def _checkpoint(self, name: str) -> None:
        if name == self.crash_at:
            self.crash_at = None
            raise Crash

    async def look(self, after: float = 10.0) -> CapacityPlan:
        self.clock.advance(after)
        publisher = self.cluster.cycle.publisher
        publisher._next = publisher._refresh = self.autoscaler._not_before = 0.0
        await self.cluster.cycle.run_once(self.term)
        await self.autoscaler.run_once()
        plan = await self.services.capacity.plan()
        assert plan is not None
        return plan

    async def wait_for_jobs(self, count: int = 3) -> list[Any]:
        return await self.cluster.add_many(count, resources={"cpu_cores": 8, "memory_gb": 1, "storage_gb": 0})

    async def arrive(self, node_id: str) -> None:
        node = Node(node_id, NodeState.READY, 1, {"node_type": "small"}, EIGHT, EIGHT)
        await taken(self.cluster.leases, node_lease(node_id), node_id, timedelta(days=1))
        await self.cluster.nodes.register(node)

    async def all_arrive(self) -> None:
        for node in self.fake.made:
            if await self.cluster.nodes.get(node.id) is None:
                await self.arrive(node.id)

    async def states(self) -> dict[str, str]:
        return {n.id: n.state.value for n in await self.cluster.nodes.all()}

    async def give_up(self, node_id: str) -> None:
        """As an earlier look did."""
        assert await give_up_node(self.services, node_id)

    @property
    def fake(self) -> FakeProvider:
        provider = self.services.provider
        assert isinstance(provider, FakeProvider)
        return provider


@pytest.fixture
def world() -> World:
    return World(FakeProvider())


async def test_without_a_provider_the_plan_is_advice() -> None:
    world = World(NoProvider())
    await world.wait_for_jobs()
    plan = await world.look()
    assert plan.provider == "none" and plan.pending is None
    assert [(c.type, c.count) for c in plan.add] == [(c.type, c.count) for c in plan.desired] == [("small", 4)]
    assert (plan.cost_present, plan.cost_desired) == (0.0, 8.0)
    [reason] = plan.reasons
    assert (reason.waiting, reason.forecast, reason.slots, reason.late) == (3, None, 4, True)
    again = await world.look()
    assert again.add == plan.add and again.present[0].booting == 0
    assert world.cluster.metric("capacity_nodes", type="small", state="desired") == 4


async def test_a_burst_is_asked_for_once_and_counts_as_on_its_way(world: World) -> None:
    await world.wait_for_jobs()
    plan = await world.look()
    assert plan.add[0].count == len(world.fake.made) == 4
    assert world.fake.total == {"small": 4}
    plan = await world.look()
    assert plan.add == () and plan.present[0].booting == 4 and len(world.fake.told) == 1
    await world.all_arrive()
    plan = await world.look()
    assert (plan.present[0].count, plan.present[0].booting) == (4, 0)
    assert world.cluster.metric("capacity_plans_total", result="accepted") == 1


async def test_silence_drains_then_takes_away_then_forgets(world: World) -> None:
    for name in ("a", "b"):
        await world.arrive(name)
    await world.look()
    plan = await world.look(after=601)
    assert [leaver.node for leaver in plan.drain] == ["a"]
    assert await world.states() == {"a": "DRAINING", "b": "READY"} and world.fake.gone == []
    await world.look()
    assert world.fake.gone == ["a"] and world.fake.total == {"small": 1}
    await world.look()
    assert world.fake.gone == ["a", "b"], "and a is not named again"
    await world.cluster.nodes.set_state("a", NodeState.LOST, "the worker stopped", world.clock.now())
    await world.look()
    assert await world.states() == {"b": "DRAINING"}


async def test_a_node_that_runs_something_is_never_taken_away(world: World) -> None:
    await world.arrive("a")
    [job] = await world.wait_for_jobs(1)
    await world.look()
    await drain_node(world.services, "a", "ann", None)
    for _ in range(3):
        await world.look(after=700)
    assert world.fake.gone == []
    held = await world.cluster.held()
    assert held == {"a": [(job.id, 1)]}


async def test_a_run_may_end_by_itself_on_a_node_that_is_given_up(world: World) -> None:
    await world.arrive("a")
    [job] = await world.wait_for_jobs(1)
    await world.look()
    await world.give_up("a")
    await world.look(after=700)
    assert world.fake.gone == []
    await world.cluster.run_to_end(job.id)
    await world.cluster.nodes.release("a", [(job.id, 1)])
    await world.look()
    assert world.fake.gone == ["a"]


async def test_draining_nodes_are_had_back_before_new_ones_are_asked_for(world: World) -> None:
    await world.arrive("a")
    await world.look()
    await world.look(after=601)
    assert await world.states() == {"a": "DRAINING"}
    await world.wait_for_jobs(1)
    await world.look()
    assert (await world.states())["a"] == "READY" and world.fake.gone == []
    assert len(world.fake.made) == 1, "the slot of the headroom"


async def test_a_node_that_was_had_back_is_not_taken_away_by_a_plan_that_is_told_again(world: World) -> None:
    """Nobody knew whether the plan was taken; meanwhile the node has begun to work."""
    for node_id in ("n1", "n2"):
        await world.arrive(node_id)
        await world.give_up(node_id)
    world.fake.answers = [ConnectionError("away")]
    await world.look()
    assert world.fake.taken_away == [("n1", "n2")]
    await resume_node(world.services, "n1", "ann", None)
    await world.wait_for_jobs(1)
    await world.look(30)
    assert (await world.states()) == {"n1": "READY", "n2": "DRAINING"}
    assert world.fake.told[0] == world.fake.told[1]
    assert world.fake.taken_away[1] == ("n2",) and world.fake.total == {"small": 1}


async def test_what_a_user_drains_is_left_alone(world: World) -> None:
    await world.arrive("a")
    await world.look()
    await drain_node(world.services, "a", "ann", "new kernel")
    await world.look(after=601)
    await world.look()
    node = await world.cluster.nodes.get("a")
    assert world.fake.gone == [] and node is not None and node.drain is not None and node.drain.actor == "ann"
    await resume_node(world.services, "a", "ann", None)
    await world.look()
    assert (await world.states())["a"] == "READY", "it has not been ready for long"


async def test_a_users_drain_takes_the_place_of_the_fleets(world: World) -> None:
    await world.arrive("a")
    await world.look()
    await world.look(after=601)
    drained = await drain_node(world.services, "a", "ann", "new kernel")
    assert drained.drain is not None and (drained.drain.actor, drained.drain.patient) == ("ann", False)
    await world.wait_for_jobs(1)
    await world.look()
    assert world.fake.gone == [] and (await world.states())["a"] == "DRAINING"


async def test_nodes_that_were_given_up_work_again_when_nobody_takes_them_away_any_more(world: World) -> None:
    await world.arrive("a")
    await world.look()
    await world.look(after=601)
    object.__setattr__(world.services, "provider", NoProvider())
    await world.look()
    assert await world.states() == {"a": "READY"}


class TestCrashes:
    async def crash(self, world: World, at: str) -> None:
        """The leader dies there, and another one begins."""
        await world.wait_for_jobs()
        world.crash_at = at
        with pytest.raises(Crash):
            await world.look()
        world.term += 1
        world.autoscaler = world.successor()

    @pytest.mark.parametrize("tells", [True, False])
    @pytest.mark.parametrize("moment", ["capacity_intended", "capacity_asked"])
    async def test_between_intent_and_note_there_is_one_fleet(self, world: World, moment: str, tells: bool) -> None:
        world.fake.tells = tells
        await self.crash(world, moment)
        for _ in range(3):
            plan = await world.look()
        assert len(world.fake.made) == 4 and len(set(world.fake.told)) == 1
        assert plan.pending is None and plan.present[0].booting == 4

    async def test_a_leader_that_forgets_what_it_asked_would_make_two(self, world: World) -> None:
        """The control: the state is lost with the leader."""
        await self.crash(world, "capacity_asked")
        kept = world.services.capacity
        object.__setattr__(world.services, "capacity", type(kept)())
        await world.look()
        assert len(world.fake.made) == 8

    async def test_a_former_leader_does_nothing_more(self, world: World) -> None:
        await world.look()
        await world.services.capacity.begin(2)
        await world.wait_for_jobs()
        await world.look()
        assert world.fake.told == []


class TestAnswers:
    async def test_silence_is_answered_by_the_same_plan(self, world: World) -> None:
        world.fake.tells = False
        world.fake.answers = [TimeoutError("slow"), TimeoutError("slow")]
        await world.wait_for_jobs()
        await world.look()
        plan = await world.look()
        assert plan.pending is not None and plan.trouble == "TimeoutError: slow"
        assert plan.present[0].booting == 4
        for _ in range(4):
            plan = await world.look(after=30)
        assert len(set(world.fake.told)) == 1 and len(world.fake.told) == 3 and len(world.fake.made) == 4
        assert plan.pending is None and plan.trouble is None

    async def test_no_other_plan_is_made_meanwhile(self, world: World) -> None:
        world.fake.tells = False
        world.fake.answers = [TimeoutError("slow")] * 9
        await world.wait_for_jobs(1)
        await world.look()
        await world.wait_for_jobs(9)
        for _ in range(3):
            await world.look()
        assert len(set(world.fake.told)) == 1

    async def test_a_refusal_is_told_and_not_tried_again_at_once(self, world: World) -> None:
        world.fake.answers = [Ack(accepted=False, detail="no quota")]
        await world.wait_for_jobs()
        await world.look()
        plan = await world.look()
        assert plan.trouble == "no quota" and plan.present[0].booting == 0 and world.fake.made == []
        assert [limit.limit for limit in plan.limited_by] == ["boot failed"]
        await world.look(after=361)
        assert len(world.fake.made) == 4

    async def test_nodes_that_do_not_come_are_counted_and_asked_for_later(self, world: World) -> None:
        await world.wait_for_jobs()
        await world.look()
        plan = await world.look(after=361)
        assert plan.present[0].booting == 0 and [limit.limit for limit in plan.limited_by] == ["boot failed"]
        assert world.cluster.metric("capacity_boots_failed_total", type="small") == 4
        await world.look(after=361)
        assert len(world.fake.made) == 8


async def test_what_keeps_coming_keeps_room(world: World) -> None:
    """Jobs that start at once never wait at a look; that they came is counted all the same."""
    for name in ("a", "b"):
        await world.arrive(name)
    await world.look()
    for _ in range(4):
        for job in await world.wait_for_jobs(2):
            await world.look()
            await world.cluster.run_to_end(job.id)
            await world.cluster.nodes.release((await world.cluster.job(job.id)).node_id or "", [(job.id, 1)])
    plan = await world.look(after=601)
    assert plan.reasons == () and plan.drain == ()


async def test_gauges_go_with_the_lead(world: World) -> None:
    await world.wait_for_jobs()
    await world.look()
    assert world.cluster.metric("capacity_cost_per_hour", of="desired") == 8
    world.autoscaler.withdraw()
    assert world.cluster.metric("capacity_cost_per_hour", of="desired") == 0


async def test_nothing_is_decided_before_a_cycle_or_twice_on_the_same(world: World) -> None:
    await world.wait_for_jobs()
    await world.autoscaler.run_once()
    assert world.fake.told == [] and await world.services.capacity.plan() is None
    first = await world.look()
    world.fake.answers = [Ack(accepted=False)]
    world.autoscaler._not_before = 0.0
    await world.autoscaler.run_once()
    assert await world.services.capacity.plan() == first


async def test_nothing_is_done_while_another_leads(world: World) -> None:
    await world.cluster.cycle.run_once()
    world.term = None  # type: ignore[assignment]
    await world.autoscaler.run_once()
    assert await world.services.capacity.plan() is None


async def test_a_long_decision_is_followed_by_a_rest(world: World) -> None:
    await world.look()
    first = await world.services.capacity.plan()
    world.autoscaler._not_before = float("inf")
    world.clock.advance(10)
    await world.autoscaler.run_once()
    assert await world.services.capacity.plan() == first
