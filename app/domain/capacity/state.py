"""What the autoscaler knows from look to look, and its successor after it: a value, and how looks change it.

`history`: the most that was wanted, in steps of a twentieth of the window; `since`: from when on each node has been
ready, the present for one that is not; `boots`: nodes asked for that have not come; `asked`: the plan of which nobody
knows yet whether it was taken; `leaving`: nodes that somebody was told to take away; `barred`: types that did not come,
and until when they are not asked for. A node that is new is one that a boot brought, whoever names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.domain.capacity.kinds import NodeTypes
from app.domain.capacity.rates import Rate
from app.domain.priority import SECOND

STEPS = 20
BOOT_PATIENCE = 3.0
"""A node that has not come after so many boot times, and the least, does not come."""
LEAST_PATIENCE = 60.0
Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The most nodes by type that were wanted in the step that ended at `at`."""

    at: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Boot:
    """Nodes of a type that a plan asked for."""

    plan_id: str
    type: str
    count: int
    at: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan that the provider was, or is to be, told. `total`: nodes by type that there are to be after it; `again`:
    when to tell it once more, after so many `tries`."""

    plan_id: str
    at: int
    add: Counts
    drain: tuple[str, ...]
    total: Counts
    tries: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class CapacityState:
    """See the module. `rates`: what keeps coming; `trouble`: what the provider said last, where it did not do as it was
    asked."""

    history: tuple[Wanted, ...] = ()
    since: Mapping[str, int] = field(default_factory=dict)
    boots: tuple[Boot, ...] = ()
    asked: Asked | None = None
    leaving: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, int] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    trouble: str | None = None

    @property
    def booting(self) -> dict[str, int]:
        """By type."""
        found: dict[str, int] = {}
        for boot in self.boots:
            found[boot.type] = found.get(boot.type, 0) + boot.count
        return found


def most_wanted(state: CapacityState, now: int, window: float) -> dict[str, int]:
    """By type, over the window."""
    found: dict[str, int] = {}
    for wanted in state.history:
        if wanted.at > now - round(window * SECOND):
            for name, count in wanted.counts.items():
                found[name] = max(count, found.get(name, 0))
    return found


def with_wanted(state: CapacityState, now: int, counts: Counts, window: float) -> CapacityState:
    """With what is wanted now. What is older than the window is forgotten, and nothing before that."""
    kept = [w for w in state.history if w.at > now - round(window * SECOND)]
    step = max(1, round(window * SECOND / STEPS))
    end = (now // step + 1) * step
    most = dict(counts)
    if kept and kept[-1].at == end:
        last = kept.pop()
        most = {name: max(last.counts.get(name, 0), most.get(name, 0)) for name in {*last.counts, *most}}
    return replace(state, history=(*kept, Wanted(end, most)))


def patience(types: NodeTypes, name: str) -> float:
    """Seconds after which a node of the type does not come any more."""
    return LEAST_PATIENCE + BOOT_PATIENCE * (types[name].boot if name in types else 0.0)


def with_nodes(
    state: CapacityState, ready: Mapping[str, str | None], alive: Iterable[str], types: NodeTypes, now: int
) -> tuple[CapacityState, tuple[Boot, ...]]:
    """After a look at the nodes: those that take work with their types, and all that live. Also answers the boots that
    failed."""
    living = set(alive)
    new = [kind for node_id, kind in ready.items() if node_id not in state.since and kind is not None]
    since = {n: state.since.get(n, now) if n in ready else now for n in {*ready, *(living & state.since.keys())}}
    boots, failed = _in_time(_less(state.boots, new), types, now)
    barred = {name: until for name, until in state.barred.items() if until > now}
    barred |= {boot.type: now + round(patience(types, boot.type) * SECOND) for boot in failed}
    still = (living - ready.keys()) & state.leaving.keys()
    leaving = {n: state.leaving[n] for n in still if now - state.leaving[n] < _longest(types)}
    return replace(state, since=since, boots=boots, barred=barred, leaving=leaving), failed


def _less(boots: tuple[Boot, ...], arrived: Iterable[str]) -> tuple[Boot, ...]:
    """Less one of the oldest of a type for each that came."""
    left = sorted(boots, key=lambda b: (b.at, b.plan_id, b.type))
    for kind in arrived:
        at = next((n for n, boot in enumerate(left) if boot.type == kind), None)
        if at is not None:
            left[at] = replace(left[at], count=left[at].count - 1)
            left = [boot for boot in left if boot.count > 0]
    return tuple(left)


def _in_time(boots: Iterable[Boot], types: NodeTypes, now: int) -> tuple[tuple[Boot, ...], tuple[Boot, ...]]:
    kept: list[Boot] = []
    failed: list[Boot] = []
    for boot in boots:
        late = now - boot.at > round(patience(types, boot.type) * SECOND)
        (failed if late else kept).append(boot)
    return tuple(kept), tuple(failed)


def _longest(types: NodeTypes) -> int:
    return round(max((patience(types, name) for name in types), default=LEAST_PATIENCE) * SECOND)


def asking(state: CapacityState, asked: Asked) -> CapacityState:
    """With a plan that is to be told: what it adds is on its way from now on."""
    boots = tuple(Boot(asked.plan_id, name, count, asked.at) for name, count in sorted(asked.add.items()) if count)
    return replace(state, asked=asked, boots=(*state.boots, *boots))


def sparing(asked: Asked, nodes: Mapping[str, str | None]) -> Asked:
    """The plan without taking away these nodes, told with their types."""
    stay = Counter(kind for node_id, kind in nodes.items() if node_id in asked.drain)
    drain = tuple(node_id for node_id in asked.drain if node_id not in nodes)
    return replace(asked, drain=drain, total={name: count + stay[name] for name, count in asked.total.items()})


def accepted(state: CapacityState, now: int) -> CapacityState:
    """The provider does as it was asked."""
    gone = dict.fromkeys(state.asked.drain if state.asked else (), now)
    return replace(state, asked=None, leaving={**state.leaving, **gone}, trouble=None)


def refused(state: CapacityState, types: NodeTypes, why: str, now: int) -> CapacityState:
    """It does not: what was to be added does not come, and is not asked for again at once."""
    asked = state.asked
    if asked is None:
        return state
    barred = {name: now + round(patience(types, name) * SECOND) for name, count in asked.add.items() if count}
    boots = tuple(boot for boot in state.boots if boot.plan_id != asked.plan_id)
    return replace(state, asked=None, boots=boots, barred={**state.barred, **barred}, trouble=why)


def unknown(state: CapacityState, types: NodeTypes, why: str, now: int, every: float) -> CapacityState:
    """Whether it does is not known: it is told the same plan again, later and later, until nobody waits for it."""
    asked = state.asked
    if asked is None:
        return state
    if now - asked.at > _longest(types):
        return replace(state, asked=None, trouble=why)
    again = now + round(every * SECOND * 2 ** min(asked.tries, 5))
    return replace(state, asked=replace(asked, tries=asked.tries + 1, again=again), trouble=why)
