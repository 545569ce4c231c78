"""The capacity plan as people read it, as the leader stores it at each look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.capacity.deciding import Decision, Limit, Slots
from app.domain.capacity.fleet import Fleet, FleetNode
from app.domain.capacity.kinds import NodeTypes
from app.domain.capacity.loads import Rules
from app.domain.capacity.state import CapacityState
from app.domain.priority import SECOND, Priority
from app.domain.queueing import Selector
from app.domain.resources import Vector

MOST = 100
"""Entries of a list that are kept."""


@dataclass(frozen=True, slots=True)
class Count:
    """`type`: None for nodes that are nobody's business here. Of those that are there `draining` take no more work;
    `booting` are on their way."""

    type: str | None
    count: int
    booting: int = 0
    draining: int = 0


@dataclass(frozen=True, slots=True)
class Leaver:
    """A node that takes no more work, or is not to; `empty_at`: when the last of its runs should end, µs since 2020."""

    node: str
    empty_at: int


@dataclass(frozen=True, slots=True)
class Waits:
    """Jobs of a bucket that wait. `target` and `forecast` in seconds: within which the last is to start, and is
    expected to (None: not in sight); `slots` of them are to run at once; `late`: nodes are asked for because of
    them."""

    priority: Priority
    bucket: str
    waiting: int
    target: float
    forecast: float | None
    slots: int
    late: bool
    vector: Vector
    selector: Selector


@dataclass(frozen=True, slots=True)
class Pending:
    """A plan of which it is not known whether the provider took it."""

    plan_id: str
    since: int
    tries: int


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """`now`: when it was made, µs since 2020; `add`: nodes that are, or should be, asked for; costs are by the hour."""

    now: int
    provider: str
    desired: tuple[Count, ...]
    present: tuple[Count, ...]
    add: tuple[Count, ...]
    drain: tuple[Leaver, ...]
    reasons: tuple[Waits, ...]
    limited_by: tuple[Limit, ...]
    cost_present: float
    cost_desired: float
    unplannable: tuple[Waits, ...]
    pending: Pending | None = None
    trouble: str | None = None


def report(
    fleet: Fleet, decision: Decision, state: CapacityState, types: NodeTypes, rules: Rules, provider: str, now: int
) -> CapacityPlan:
    """What is told of a decision."""
    leaving = {n.id: n for n in (*fleet.draining, *decision.drain) if n.id not in decision.back}
    return CapacityPlan(
        now=now,
        provider=provider,
        desired=tuple(Count(name, decision.desired[name]) for name in sorted(types)),
        present=_present(fleet, types),
        add=tuple(Count(name, count) for name, count in sorted(decision.add.items())),
        drain=tuple(Leaver(n.id, _empty_at(n, now)) for _, n in sorted(leaving.items())),
        reasons=tuple(_waits(s, rules) for s in decision.reasons if s.want not in decision.unplannable)[:MOST],
        limited_by=decision.limits,
        cost_present=_cost(fleet.paid(), types),
        cost_desired=_cost(decision.desired, types),
        unplannable=tuple(_waits(s, rules) for s in decision.reasons if s.want in decision.unplannable)[:MOST],
        pending=None if state.asked is None else Pending(state.asked.plan_id, state.asked.at, state.asked.tries),
        trouble=state.trouble,
    )


def _present(fleet: Fleet, types: NodeTypes) -> tuple[Count, ...]:
    ready = [n.type for n in fleet.ready]
    draining = [n.type for n in fleet.draining]
    counts = [
        Count(name, ready.count(name) + draining.count(name), fleet.booting.get(name, 0), draining.count(name))
        for name in sorted(types)
    ]
    return (*counts, Count(None, ready.count(None))) if None in ready else tuple(counts)


def _empty_at(node: FleetNode, now: int) -> int:
    return now + round(node.empty_in * SECOND)


def _waits(found: Slots, rules: Rules) -> Waits:
    want = found.want
    vector, selector, _ = want.request
    target = rules.targets[want.priority]
    late, forecast = found.late, None if want.starts_in is None else round(want.starts_in, 3)
    return Waits(want.priority, want.bucket_id, want.waiting, target, forecast, found.slots, late, vector, selector)


def _cost(counts: Mapping[str, int], types: NodeTypes) -> float:
    return round(sum(types[name].price * count for name, count in counts.items() if name in types), 6)
