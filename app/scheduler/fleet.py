"""A snapshot and a forecast as the autoscaler looks at them: which nodes stand where, who waits how long, what ends
when.

Nodes with the label `node_type` are of that type; all others take part, and are nobody's business. A node that drains
patiently is one that the fleet has given up, and may have back; one that a user drains is no part of the fleet.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.ageing import dominant
from app.domain.capacity.fleet import Fleet, FleetNode, Want
from app.domain.capacity.kinds import NodeTypes, type_of
from app.domain.capacity.loads import Rules
from app.domain.capacity.packing import times
from app.domain.capacity.rates import streams
from app.domain.capacity.state import CapacityState
from app.domain.estimates import Forecast, seconds_until
from app.domain.nodes import Node, NodeState
from app.domain.priority import RANK, SECOND, micros
from app.domain.queueing import Request
from app.domain.records import BucketHead
from app.domain.resources import Vector, total
from app.scheduler.forecast import NOT_IN_SIGHT, remaining
from app.scheduler.rules import Quota
from app.scheduler.snapshot import Snapshot

UNLIMITED = 1 << 40


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: see the parts."""

    snapshot: Snapshot
    forecast: Forecast
    state: CapacityState
    types: NodeTypes
    rules: Rules

    def fleet(self) -> Fleet:
        """The fleet as it is."""
        snapshot, state = self.snapshot, self.state
        leaving = [n for n in snapshot.nodes if gives_up(n) and n.id not in state.leaving]
        return Fleet(
            ready=[self._fleet_node(n) for n in snapshot.ready],
            draining=[self._fleet_node(n) for n in leaving],
            booting={name: count for name, count in state.booting.items() if name in self.types},
            aside=self._aside({*(n.id for n in snapshot.ready), *(n.id for n in leaving)}),
            barred=frozenset(state.barred),
            wants=within_quotas(snapshot, self._all_wants()),
            streams=streams(state.rates, self.rules.span),
            ends=self._ends(),
            slots=snapshot.rules.slots,
            slots_used=snapshot.slots_used,
            paused=snapshot.paused,
        )

    def _aside(self, known: set[str]) -> dict[str, int]:
        """Nodes that live, of their types, beside those: drained by users, stopping, or on their way out."""
        nodes = (n for n in self.snapshot.nodes if n.state is not NodeState.LOST and n.id not in known)
        kinds = Counter(type_of(n.labels, self.types) for n in nodes)
        return {name: count for name, count in kinds.items() if name is not None}

    def _fleet_node(self, node: Node) -> FleetNode:
        snapshot = self.snapshot
        left = [(a, remaining(snapshot, a)) for a in node.allocations]
        since = self.state.since.get(node.id, snapshot.now)
        return FleetNode(
            id=node.id,
            type=type_of(node.labels, self.types),
            capacity=node.capacity,
            labels=node.labels,
            free=node.free,
            runs=tuple(self._request(a.job_id, a.run_no, a.vector) for a in node.allocations),
            left=sum(seconds * dominant(a.vector, node.capacity) for a, seconds in left),
            empty_in=max((seconds for _, seconds in left), default=0.0),
            seasoned=snapshot.now - since >= round(self.rules.window * SECOND),
            reserved=any(p.node_id == node.id for p in snapshot.promises),
        )

    def _request(self, job_id: str, run_no: int, vector: Vector) -> Request:
        live = self.snapshot.live.get((job_id, run_no))
        return vector, live.selector if live is not None else (), False

    def _all_wants(self) -> Iterable[tuple[str, Want]]:
        """With their tenants."""
        for head in self.snapshot.heads:
            if head.members:
                yield from ((head.bucket.tenant, want) for want in self._wants(head))

    def _wants(self, head: BucketHead) -> Iterable[Want]:
        """One where all ask for the same; else one for each request among those that are known, as many of each."""
        known = Counter(m.demand.request for m in head.members)
        means: dict[Request, list[int]] = defaultdict(list)
        for member in head.members:
            means[member.demand.request].append(member.demand.mean)
        waited = max(0.0, self.snapshot.now - head.members[0].demand.submitted) / SECOND
        starts_in = self._starts_in(head)
        for request, found in known.items():
            waiting = max(1, round(head.count * found / len(head.members)))
            mean = sum(means[request]) / len(means[request]) / SECOND
            yield Want(head.bucket_id, head.bucket.priority, request, waiting, mean, waited, starts_in)

    def _starts_in(self, head: BucketHead) -> float | None:
        seconds = seconds_until(self.forecast, head.bucket_id, head.count, self.snapshot.waiting)
        if seconds >= NOT_IN_SIGHT:
            return None
        return max(0.0, seconds - (self.snapshot.now - micros(self.forecast.at)) / SECOND)

    def _ends(self) -> Mapping[Vector, list[float]]:
        found: dict[Vector, list[float]] = defaultdict(list)
        for node in self.snapshot.nodes:
            for allocation in node.allocations:
                found[allocation.vector].append(remaining(self.snapshot, allocation))
        return found


def within_quotas(snapshot: Snapshot, wants: Iterable[tuple[str, Want]]) -> list[Want]:
    """The wants, each with how many more its tenant may run, the most urgent first; where there is a quota."""
    quotas, found = snapshot.rules.quotas, []
    left = {tenant: _left(snapshot, tenant, quota) for tenant, quota in quotas.items()}
    for tenant, want in sorted(wants, key=lambda one: (RANK[one[1].priority], one[1].bucket_id, one[1].request)):
        if tenant not in left:
            found.append(want)
            continue
        vector, runs = left[tenant]
        most = max(0, min(want.waiting, runs, want.request[0].times_in(vector)))
        left[tenant] = vector - times(want.request[0], most), runs - most
        found.append(replace(want, most=most))
    return found


def _left(snapshot: Snapshot, tenant: str, quota: Quota) -> tuple[Vector, int]:
    """What it may still hold, and how many more runs it may have."""
    held = [vector for owner, vector in snapshot.held_by_tenant() if owner == tenant]
    limits = (UNLIMITED if limit is None else limit for limit in quota.vector)
    return Vector(*limits) - total(held), UNLIMITED if quota.running is None else quota.running - len(held)


def gives_up(node: Node) -> bool:
    """Whether the fleet has told the node to take no more work, and it lives."""
    return node.state is NodeState.DRAINING and node.drain is not None and node.drain.patient
