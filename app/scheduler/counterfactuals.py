"""What would have one waiting job start sooner: at most six changes, each tried on the snapshot.

Tried in this order: a class more urgent; the first position; what runs like it have needed, else half the memory; one
GPU fewer; no selector; one more node of each kind; the end of the run that frees most. Those that gain less than a
minute or a tenth are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from app.domain.ageing import dominant
from app.domain.priority import RANK, Priority
from app.domain.queueing import Demand
from app.domain.records import Waiting
from app.domain.resources import Vector
from app.domain.what_if import (
    AddNodes,
    Cancel,
    Counterfactual,
    MoveFirst,
    NodeKind,
    SetPriority,
    SetResources,
    Supposed,
    WithoutSelector,
)
from app.scheduler.probes import Exact, Probe, Reduced
from app.scheduler.reduction import could_hold, is_small, shortage
from app.scheduler.snapshot import Snapshot
from app.scheduler.supposing import Kinds
from app.scheduler.what_if import starts_at

MOST = 6
MOST_NODES = 32
"""Nodes, those that lack least, among whose runs the one is looked for that frees most."""
LEAST_SECONDS, LEAST_SHARE = 60.0, 0.1
"""A change that gains less than either is not told."""
BUDGET = 0.05
"""Seconds after which no further change is tried."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A change to be tried, and how it is called."""

    words: str
    supposed: Supposed


def counterfactuals(
    snapshot: Snapshot,
    waiting: Waiting,
    kinds: Kinds,
    elapsed: Callable[[], float] = lambda: 0.0,
    learned: Vector | None = None,
) -> tuple[Counterfactual, ...]:
    """Those that help, in the order in which they are tried. `elapsed`: seconds spent so far; none is begun beyond the
    budget. `learned`: what sizing would have given the job."""
    now = snapshot.now
    probe: Probe = Exact(snapshot, waiting) if is_small(snapshot) else Reduced(snapshot, waiting)
    before = probe.start(None, {})
    if before == 0.0 or snapshot.paused:
        return ()
    kinds = kinds or kind_like(snapshot, waiting.member.demand)
    found: list[Counterfactual] = []
    for wish in wishes(snapshot, waiting, kinds, learned):
        if elapsed() > BUDGET or len(found) == MOST:
            break
        after = probe.start(wish.supposed, kinds)
        if _helps(before, after):
            position = probe.position(wish.supposed, kinds)
            found.append(Counterfactual(wish.words, wish.supposed, starts_at(after, now), position))
    return tuple(found)


def _helps(before: float | None, after: float | None) -> bool:
    """Whether a start moved forward enough. From not in sight to any time is enough."""
    if after is None:
        return False
    return before is None or before - after >= max(LEAST_SECONDS, LEAST_SHARE * before)


def wishes(snapshot: Snapshot, waiting: Waiting, kinds: Kinds, learned: Vector | None = None) -> Iterator[Wish]:
    """The changes that can be made of that job, and around it."""
    job_id, demand, bucket = waiting.member.job_id, waiting.member.demand, waiting.bucket
    vector = demand.vector
    if up := next_class(bucket.priority):
        yield Wish(f"priority {up}", SetPriority(job_id, up))
    yield Wish("position 1 of its class", MoveFirst(job_id))
    if (smaller := _smaller(vector, learned)) is not None:
        yield _to_ask_less(job_id, vector, smaller)
    if vector.gpu:
        fewer = replace(vector, gpu=vector.gpu - 1)
        yield Wish(f"gpu_count {fewer.gpu} instead of {vector.gpu}", SetResources(job_id, fewer.units()))
    if demand.selector:
        yield Wish(f"no node_selector {_labels(demand)}", WithoutSelector(job_id))
    for kind in sorted(kinds):
        yield Wish(f"one more node {kind}", AddNodes(1, kind))
    if run := run_that_frees_most(snapshot, demand):
        yield Wish(f"the end of {run[0]} on {run[1]}", Cancel(run[0]))


def _smaller(vector: Vector, learned: Vector | None) -> Vector | None:
    """As much as was learned where that is less in anything and more in nothing; else half the memory."""
    if learned is not None and learned != vector and learned.fits(vector):
        return learned
    return replace(vector, memory_mib=(vector.memory_mib + 1) // 2) if vector.memory_mib > 1 else None


def _to_ask_less(job_id: str, vector: Vector, smaller: Vector) -> Wish:
    """To ask for so much less, told by what is less."""
    before, after = vector.units(), smaller.units()
    words = [f"{name} {after[name]:g} instead of {before[name]:g}" for name in after if after[name] != before[name]]
    return Wish(", ".join(words), SetResources(job_id, after))


def next_class(priority: Priority) -> Priority | None:
    """The class just above; None above urgent."""
    rank = RANK[priority]
    return next((p for p, r in RANK.items() if r == rank - 1), None)


def run_that_frees_most(snapshot: Snapshot, demand: Demand) -> tuple[str, str] | None:
    """Job and node of the run after whose end most of what is asked for is there; of equals the largest, then by id."""
    vector = demand.vector
    able = [n for n in snapshot.ready if n.allocations and could_hold(n, demand)]
    nearest = sorted(able, key=lambda n: (shortage(vector, n.free, n.capacity), n.id))[:MOST_NODES]
    found = []
    for node in nearest:
        for run in node.allocations:
            short = shortage(vector, node.free + run.vector, node.capacity)
            freed = round(1000 * dominant(run.vector, node.capacity))
            found.append((demand.alone and len(node.allocations) > 1, short, -freed, run.job_id, node.id))
    return min(found)[-2:] if found else None


def kind_like(snapshot: Snapshot, demand: Demand) -> dict[str, NodeKind]:
    """The kind to add where none is configured: like the node that lacks least, else just large enough."""
    able = [n for n in snapshot.ready if could_hold(n, demand)]
    if able:
        node = min(able, key=lambda n: (shortage(demand.vector, n.free, n.capacity), n.id))
        return {f"like {node.id}": NodeKind(node.capacity, node.labels)}
    amounts = ", ".join(f"{name} {amount:g}" for name, amount in demand.vector.units().items() if amount)
    labels = f" and {_labels(demand)}" if demand.selector else ""
    return {f"with {amounts}{labels}": NodeKind(demand.vector, dict(demand.selector))}


def _labels(demand: Demand) -> str:
    return ", ".join(f"{name}={value}" for name, value in demand.selector)
