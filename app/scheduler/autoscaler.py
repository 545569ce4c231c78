"""The fleet: how many nodes there should be, looked at again and again by the leader, and made so by the provider.

A look takes what the last cycle left, decides (pure, `app.domain.capacity`), and acts. Nodes are only told to drain,
patiently; what has drained and holds nothing is taken away. What is to be asked of the provider is stored before it is
asked, under an id, and its answer after: whoever leads next finds a plan without an answer, asks what came of it, and
tells the same plan again, which does nothing twice. So no crash makes two fleets, and none forgets one. While an answer
is open no other plan is made. A slow provider holds up nothing but the next look.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.capacity.deciding import Decision, decide
from app.domain.capacity.fleet import Fleet
from app.domain.capacity.kinds import type_of
from app.domain.capacity.rates import Came, folded
from app.domain.capacity.report import CapacityPlan, report
from app.domain.capacity.state import (
    Asked,
    CapacityState,
    accepted,
    asking,
    most_wanted,
    refused,
    sparing,
    unknown,
    with_nodes,
    with_wanted,
)
from app.domain.estimates import Forecast
from app.domain.nodes import Node, NodeState
from app.domain.ports import Ack, CapacityProvider
from app.metrics import Metrics
from app.operations.drain import give_up_node, have_node_back
from app.scheduler.commit import Checkpoint, no_checkpoint
from app.scheduler.fleet import View, gives_up
from app.scheduler.snapshot import Snapshot
from app.services import Services

log = structlog.get_logger()
PROVIDER_SECONDS = 30.0
"""How long an answer of the provider is waited for; after that it is not known."""
COST_FACTOR = 20.0
"""A decision that took a second is followed by the next no sooner than this many seconds later."""
MOST_WORDS = 300
"""Characters of what went wrong with a provider that are kept."""
OTHER = "other"
"""What nodes of no type are called in metrics."""


class Deposed(Exception):
    """A later leader has begun: nothing more is to be done here."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a cycle left: how things stand, so that no job both waits and runs; what is expected of them; and by bucket
    the jobs that came since this was last asked."""

    snapshot: Snapshot
    forecast: Forecast
    came: Callable[[], Came]


class Autoscaler:
    """One look at a time. `term`: the leader's, None while it does not lead; `sight`: None before there is one."""

    def __init__(
        self,
        services: Services,
        metrics: Metrics,
        term: Callable[[], int | None],
        sight: Callable[[], Sight | None],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._services, self._metrics, self._checkpoint = services, metrics, checkpoint
        self._term_now, self._sight = term, sight
        self._term: int | None = None
        self._state = CapacityState()
        self._types = services.settings.capacity.types
        self._rules = services.settings.capacity.rules
        self._looked = 0
        self._not_before = 0.0

    @property
    def _provider(self) -> CapacityProvider:
        return self._services.provider

    async def run_once(self) -> None:
        """One look. Raises Unavailable; the next one goes on from what was stored."""
        term = self._term_now()
        if term is None or time.monotonic() < self._not_before:
            return
        try:
            await self._look(term)
        except Deposed:
            log.warning("capacity.later_leader", term=term)
            self.withdraw()

    def withdraw(self) -> None:
        """This process leads no more."""
        self._term = None
        self._metrics.forget_fleet()

    async def _look(self, term: int) -> None:
        sight = self._sight()
        if sight is None or sight.snapshot.now == self._looked:
            return
        if term != self._term:
            await self._begin(term)
        self._remember(sight)
        await self._settle(sight.snapshot)
        await self._go_on(sight.snapshot, View(sight.snapshot, sight.forecast, self._state, self._types, self._rules))

    async def _begin(self, term: int) -> None:
        """Go on from what was stored. Raises Deposed."""
        state = await self._services.capacity.begin(term)
        if state is None:
            raise Deposed
        self._state, self._term = state, term

    async def _go_on(self, snapshot: Snapshot, view: View) -> None:
        """Decide, tell, act."""
        now, fleet = snapshot.now, view.fleet()
        decision = await self._decide(fleet, now)
        acts = self._provider.acts and self._state.asked is None
        wanted = with_additions(decision, fleet) if acts else decision.desired
        self._state = with_wanted(self._state, now, wanted, self._rules.window)
        plan = report(fleet, decision, self._state, self._types, self._rules, self._provider.name, now)
        await self._keep(plan)
        self._show(plan)
        if acts:
            await self._act(snapshot, fleet, decision)
        elif not self._provider.acts:
            await self._leave_alone(snapshot.nodes)

    async def _decide(self, fleet: Fleet, now: int) -> Decision:
        """In a thread; afterwards there is a rest."""
        began = time.monotonic()
        most = most_wanted(self._state, now, self._rules.window)
        decision = await asyncio.to_thread(decide, fleet, self._types, self._rules, most)
        self._not_before = time.monotonic() + COST_FACTOR * (time.monotonic() - began)
        return decision

    def _remember(self, sight: Sight) -> None:
        """Nodes that came, boots that did not, and what keeps coming."""
        snapshot, now = sight.snapshot, sight.snapshot.now
        ready = {n.id: type_of(n.labels, self._types) for n in snapshot.ready}
        alive = [n.id for n in snapshot.nodes if n.state is not NodeState.LOST]
        state, failed = with_nodes(self._state, ready, alive, self._types, now)
        for boot in failed:
            self._metrics.capacity_boots_failed.labels(boot.type).inc(boot.count)
            log.warning("capacity.boot_failed", plan_id=boot.plan_id, type=boot.type, nodes=boot.count)
        self._state = replace(state, rates=folded(state.rates, sight.came(), now, self._rules.span))
        self._looked = now

    async def _settle(self, snapshot: Snapshot) -> None:
        """Find out what came of a plan that was not answered; where that cannot be told, tell it again, without the
        nodes that were had back meanwhile."""
        asked, now = self._state.asked, snapshot.now
        if asked is None or now < asked.again:
            return
        if await self._is_done(asked):
            self._state = accepted(self._state, now)
            self._metrics.capacity_plans.labels("found").inc()
            log.info("capacity.plan_found", plan_id=asked.plan_id)
        else:
            alive = (n for n in snapshot.nodes if n.state is not NodeState.LOST)
            asked = sparing(asked, {n.id: type_of(n.labels, self._types) for n in alive if not has_drained(n)})
            self._state = replace(self._state, asked=asked)
            await self._tell(asked, now)
        await self._keep(None)

    async def _is_done(self, asked: Asked) -> bool:
        """Whether the provider has the nodes that the plan adds. What a plan takes away it is told again."""
        if asked.drain:
            return False
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                nodes = await self._provider.nodes()
        except Exception as error:  # noqa: BLE001  whatever a provider raises, nothing is known
            log.warning("capacity.provider_silent", error=repr(error))
            return False
        made = sum(node.plan_id == asked.plan_id for node in nodes or ())
        return nodes is not None and made >= sum(asked.add.values())

    async def _act(self, snapshot: Snapshot, fleet: Fleet, decision: Decision) -> None:
        """Have nodes back, give nodes up, and ask for what is to be added and taken away."""
        back = [node_id for node_id in decision.back if await have_node_back(self._services, node_id)]
        given_up = [node.id for node in decision.drain if await give_up_node(self._services, node.id)]
        if back or given_up:
            log.info("capacity.moved", had_back=back, given_up=given_up)
        await self._forget(snapshot.nodes)
        told = {*back, *self._state.leaving}
        gone = [n for n in snapshot.nodes if has_drained(n) and n.id not in told]
        if decision.add or gone:
            await self._ask(snapshot.now, fleet, decision.add, gone)

    async def _leave_alone(self, nodes: Sequence[Node]) -> None:
        """Nobody takes nodes away any more: those that were given up work again."""
        for node in nodes:
            if gives_up(node):
                await have_node_back(self._services, node.id)

    async def _forget(self, nodes: Sequence[Node]) -> None:
        """Nodes that are gone, as was wanted."""
        for node in nodes:
            if node.state is NodeState.LOST and node.drain is not None and node.drain.patient:
                await self._services.nodes.forget(node.id)

    async def _ask(self, now: int, fleet: Fleet, add: Mapping[str, int], gone: Sequence[Node]) -> None:
        """Note what is to be asked, ask it, note the answer."""
        leaving, paid = Counter(type_of(n.labels, self._types) for n in gone), fleet.paid()
        total = {name: paid[name] + add.get(name, 0) - leaving[name] for name in self._types}
        asked = Asked(f"p{self._term}x{now}", now, add, tuple(n.id for n in gone), total)
        self._state = asking(self._state, asked)
        await self._keep(None)
        self._checkpoint("capacity_intended")
        await self._tell(asked, now)
        self._checkpoint("capacity_asked")
        await self._keep(None)

    async def _tell(self, asked: Asked, now: int) -> None:
        """Tell the provider a plan, and remember what it says."""
        every = self._services.settings.capacity.interval.total_seconds()
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                ack = await self._provider.scale(asked.plan_id, asked.add, asked.drain, asked.total)
        except Exception as error:  # noqa: BLE001  whatever a provider raises, nobody knows what it has done
            why = f"{type(error).__name__}: {error}"[:MOST_WORDS]
            self._state = unknown(self._state, self._types, why, now, every)
            self._told(asked, "unknown", why)
            return
        self._state = self._after(ack, now)
        self._told(asked, "accepted" if ack.accepted else "refused", ack.detail)

    def _after(self, ack: Ack, now: int) -> CapacityState:
        return accepted(self._state, now) if ack.accepted else refused(self._state, self._types, ack.detail, now)

    def _told(self, asked: Asked, result: str, detail: str) -> None:
        self._metrics.capacity_plans.labels(result).inc()
        tell = log.info if result == "accepted" else log.warning
        moves = {"add": dict(asked.add), "drain": list(asked.drain)}
        tell("capacity.plan_told", plan_id=asked.plan_id, result=result, detail=detail, **moves)

    async def _keep(self, plan: CapacityPlan | None) -> None:
        """Raises Deposed when a later leader has begun."""
        if not await self._services.capacity.keep(self._state, plan, self._term or 0):
            raise Deposed

    def _show(self, plan: CapacityPlan) -> None:
        gauge, cost = self._metrics.capacity_nodes, self._metrics.capacity_cost
        gauge.clear()
        for wanted in plan.desired:
            gauge.labels(wanted.type or OTHER, "desired").set(wanted.count)
        for there in plan.present:
            name = there.type or OTHER
            gauge.labels(name, "present").set(there.count)
            gauge.labels(name, "booting").set(there.booting)
            gauge.labels(name, "draining").set(there.draining)
        cost.labels("present").set(plan.cost_present)
        cost.labels("desired").set(plan.cost_desired)


def has_drained(node: Node) -> bool:
    """Whether the fleet has given it up, and it holds nothing any more."""
    return gives_up(node) and not node.allocations


def with_additions(decision: Decision, fleet: Fleet) -> dict[str, int]:
    """What is wanted, and at least what there is once more has come: for what was added is kept for a window."""
    present, counts = fleet.present(), dict(decision.desired)
    more = Counter(n.type for n in fleet.draining if n.id in decision.back) + Counter(decision.add)
    for name, count in more.items():
        if name is not None:
            counts[name] = max(counts.get(name, 0), present[name] + count)
    return counts
