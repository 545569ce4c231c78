"""A fleet that grows and shrinks while the simulation runs: the autoscaler's own decisions and memory, on nodes that
take their time to come.

What the service stores is here a value, what its provider does takes exactly the boot time, and a node costs from the
moment in which it is asked for until it is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from app.domain.capacity.deciding import Decision, decide
from app.domain.capacity.kinds import NodeType, NodeTypes, type_of
from app.domain.capacity.loads import Rules
from app.domain.capacity.rates import folded
from app.domain.capacity.state import (
    Asked,
    CapacityState,
    accepted,
    asking,
    most_wanted,
    with_nodes,
    with_wanted,
)
from app.domain.estimates import Forecast
from app.domain.nodes import Drain, Node, NodeState
from app.domain.priority import SECOND, moment
from app.scheduler.arrivals import Arrivals
from app.scheduler.autoscaler import with_additions
from app.scheduler.fleet import View
from app.scheduler.forecast import forecast
from app.scheduler.snapshot import Snapshot
from bench.sim.engine import History, Stuck
from bench.sim.jobs import Trace
from bench.sim.ledger import Ledger, Run
from bench.sim.ours import Ours

LOOK = 60 * SECOND
"""Of simulated time, between two looks; the service's are shorter."""
GIVEN_UP = Drain("autoscaler", None, moment(0), patient=True)


@dataclass(slots=True)
class FleetHistory:
    """`jobs`: what became of them; `moves`: when nodes were added or had back (+) and given up (-); `counts`: nodes
    that cost something, from each time on."""

    jobs: History
    moves: list[tuple[int, int]] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)

    def node_time(self, until: int) -> int:
        """µs of all nodes together, up to then."""
        ends = [at for at, _ in self.counts[1:]] + [until]
        return sum(n * (min(end, until) - min(at, until)) for (at, n), end in zip(self.counts, ends, strict=True))

    def most(self) -> int:
        return max(n for _, n in self.counts)

    def turns(self, within: int) -> tuple[int, int]:
        """How often up was followed by down, and down by up, sooner than that."""
        pairs = list(zip(self.moves, self.moves[1:], strict=False))
        soon = [(a, b) for (at, a), (then, b) in pairs if a * b < 0 and then - at < within]
        return sum(a > 0 for a, _ in soon), sum(a < 0 for a, _ in soon)


class Autoscaled:
    """One simulation: `run` it once."""

    def __init__(self, trace: Trace, kinds: Iterable[NodeType], rules: Rules | None = None, look: int = LOOK) -> None:
        self.trace, self.rules, self.every = trace, rules or Rules(), look
        self.types: NodeTypes = {kind.name: kind for kind in kinds}
        self.ledger, self.policy, self.arrivals = Ledger([]), Ours(), Arrivals()
        self.state = CapacityState()
        self.history = FleetHistory(History(trace, "autoscaled"))
        self._boots: list[tuple[int, str, str]] = []
        self._ends: list[tuple[int, str]] = []
        self._made = 0

    def run(self) -> FleetHistory:
        """Until every job has ended. Raises Stuck when some never start."""
        jobs, looked = iter(self.trace.jobs), 0
        coming = next(jobs, None)
        while coming is not None or self._ends or self.policy.index.members:
            now = min([looked, *(at for at, *_ in [*self._boots[:1], *self._ends[:1]])])
            now = min(now, coming.submitted) if coming is not None else now
            while coming is not None and coming.submitted <= now:
                self.policy.submitted(coming)
                coming = next(jobs, None)
            self._pass(now)
            if now >= looked:
                looked = now + self.every
                self._look(now)
            if now > self.trace.horizon + 30 * 86_400 * SECOND:
                raise Stuck(f"{len(self.policy.index.members)} jobs never start")
        self.policy.finish(self.history.jobs)
        return self.history

    def _pass(self, now: int) -> None:
        """Runs end, nodes come, jobs start."""
        while self._ends and self._ends[0][0] <= now:
            self.policy.ended(self.ledger.end(heapq.heappop(self._ends)[1]))
        while self._boots and self._boots[0][0] <= now:
            _, node_id, kind = heapq.heappop(self._boots)
            self._register(node_id, self.types[kind])
        for run in self._starts(now):
            heapq.heappush(self._ends, (run.ends, run.job.id))
        self._count(now)

    def _starts(self, now: int) -> Iterator[Run]:
        again = True
        while again:
            before = self.policy.snapshot(self.ledger, now)
            starts, again = self.policy.decide(self.ledger, now)
            self.arrivals.seen(before, [self.policy.index.waiting(s.job.id).bucket_id for s in starts])
            for start in starts:
                run = self.ledger.start(start.job, start.node_id, start.gpus, now)
                self.history.jobs.starts[start.job.id] = now
                self.policy.started(run)
                yield run

    def _register(self, node_id: str, kind: NodeType) -> None:
        node = Node(node_id, NodeState.READY, 1, kind.all_labels, kind.capacity, kind.capacity)
        self.ledger.nodes[node_id], self.ledger.on_node[node_id] = node, {}

    def _look(self, now: int) -> None:
        """What the autoscaler does at a look."""
        snapshot = self.policy.snapshot(self.ledger, now)
        self._remember(snapshot)
        view = View(snapshot, _forecast(snapshot), self.state, self.types, self.rules)
        fleet = view.fleet()
        decision = decide(fleet, self.types, self.rules, most_wanted(self.state, now, self.rules.window))
        self.state = with_wanted(self.state, now, with_additions(decision, fleet), self.rules.window)
        self._move(decision, now)
        self._count(now)

    def _remember(self, snapshot: Snapshot) -> None:
        now = snapshot.now
        ready = {n.id: type_of(n.labels, self.types) for n in snapshot.ready}
        state, _ = with_nodes(self.state, ready, self.ledger.nodes, self.types, now)
        self.state = replace(state, rates=folded(state.rates, self.arrivals.taken(), now, self.rules.span))

    def _move(self, decision: Decision, now: int) -> None:
        for node_id in decision.back:
            self._set(node_id, NodeState.READY, None)
        for node in decision.drain:
            self._set(node.id, NodeState.DRAINING, GIVEN_UP)
        for kind, count in decision.add.items():
            for _ in range(count):
                self._made += 1
                boots_at = now + round(self.types[kind].boot * SECOND)
                heapq.heappush(self._boots, (boots_at, f"{kind}-{self._made:05}", kind))
        if decision.add:
            self.state = accepted(asking(self.state, Asked(f"p{now}", now, decision.add, (), {})), now)
        for up in (len(decision.back) + sum(decision.add.values()), -len(decision.drain)):
            if up:
                self.history.moves.append((now, up))
        self._take_away()

    def _take_away(self) -> None:
        """What drains and holds nothing."""
        for node in list(self.ledger.nodes.values()):
            if node.state is NodeState.DRAINING and not node.allocations:
                del self.ledger.nodes[node.id], self.ledger.on_node[node.id]

    def _set(self, node_id: str, state: NodeState, drain: Drain | None) -> None:
        self.ledger.nodes[node_id] = replace(self.ledger.nodes[node_id], state=state, drain=drain)

    def _count(self, now: int) -> None:
        there = len(self.ledger.nodes) + len(self._boots)
        if not self.history.counts or self.history.counts[-1][1] != there:
            self.history.counts.append((now, there))


def _forecast(snapshot: Snapshot) -> Forecast:
    if not snapshot.heads:
        return Forecast(moment(snapshot.now), {}, 0.0)
    return forecast(snapshot, 0.0)
