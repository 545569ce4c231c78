"""What is to be added and what drained: one decision on a fleet as it is, and on the most that was wanted lately.

Up at once, for jobs that would start too late otherwise; a step is at most half the fleet, or four. Down only to the
most that was wanted over the window, a fifth at a time, and only nodes that have been ready so long, that nobody is
promised, and that should be empty soon: one that stays anyway may as well go on taking work. Nothing is ever killed.
Draining nodes are had back before new ones are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.ageing import dominant
from app.domain.capacity.fleet import Fleet, FleetNode, Want, holds
from app.domain.capacity.kinds import NodeTypes
from app.domain.capacity.loads import Load, Rules, is_late, load_of, loads_to_come, needed, within_slots
from app.domain.capacity.packing import Bin, Packing, of_node, of_type, spared
from app.domain.capacity.worth import is_worth, worth_of
from app.domain.priority import RANK
from app.domain.queueing import Request
from app.domain.resources import Vector, total

STEP_LEAST, STEP_SHARE = 4, 0.5
DOWN_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Limit:
    """What keeps the fleet from being as it should: a setting or a rule, and the amounts allowed and wanted."""

    limit: str
    type: str | None = None
    allowed: float | None = None
    wanted: float | None = None


@dataclass(frozen=True, slots=True)
class Slots:
    """A want with the slots that it needs, and whether nodes are asked for because of it."""

    want: Want
    slots: int
    late: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """`desired` and `add`: nodes by type; `back`: draining nodes to have back; `drain`: nodes to take no more work;
    `unplannable`: what no node holds that there is or may be."""

    desired: Mapping[str, int]
    add: Mapping[str, int]
    back: tuple[str, ...]
    drain: tuple[FleetNode, ...]
    reasons: tuple[Slots, ...]
    limits: tuple[Limit, ...]
    unplannable: frozenset[Want]


def decide(fleet: Fleet, types: NodeTypes, rules: Rules, most: Mapping[str, int]) -> Decision:
    """The decision. `most`: by type the most nodes that were wanted over the window. Deterministic: the order of what
    is handed over does not matter."""
    return _Deciding(fleet, types, rules).decision(most)


class _Deciding:
    """One decision while it is made."""

    def __init__(self, fleet: Fleet, types: NodeTypes, rules: Rules) -> None:
        self.fleet, self.types, self.rules = fleet, types, rules
        self.limits = [] if types else [Limit("NODE_TYPES unset")]
        self.capacity = _reference(fleet, types)
        self.unplannable = frozenset(w for w in fleet.wants if not self._plannable(w))
        self.reasons = self._reasons()
        self.ready = [of_node(n) for n in sorted(fleet.ready, key=_fullest_first)]
        self.booting = [of_type(types[t]) for t, count in sorted(fleet.booting.items()) for _ in range(count)]
        self.draining = [of_node(n) for n in sorted(fleet.draining, key=lambda n: (-n.left, n.id))]
        self.packing = Packing(types, [*self.ready, *self.booting, *self.draining], self._room())

    def decision(self, most: Mapping[str, int]) -> Decision:
        late, other = self._loads()
        new = self.packing.put_all(late, self.capacity)
        back = [b for b in self.draining if b.loads]
        self._note_full_types()
        self.packing.put_all([*other, *loads_to_come(self.fleet, self.rules, self.capacity)], self.capacity)
        idle = self._idle()
        desired = self._desired(idle)
        add = self._additions(new)
        drain = self._drains(idle, {t: max(n, most.get(t, 0)) for t, n in desired.items()}, add)
        names = tuple(b.node.id for b in back if b.node is not None) if not self.fleet.paused else ()
        return Decision(desired, add, names, tuple(drain), self.reasons, tuple(self.limits), self.unplannable)

    def _plannable(self, want: Want) -> bool:
        nodes = (*self.fleet.ready, *self.fleet.draining)
        kinds = (k for k in self.types.values() if k.most > 0)
        return any(holds(want.request, n.capacity, n.labels) for n in nodes) or any(
            holds(want.request, k.capacity, k.all_labels) for k in kinds
        )

    def _reasons(self) -> tuple[Slots, ...]:
        """Each want with its slots; the late and the urgent first."""
        found = []
        for want in self.fleet.wants:
            target = self.rules.targets[want.priority]
            late = want not in self.unplannable and is_late(want, target, self._boot(want))
            found.append(Slots(want, load_of(want, target).count, late))
        return tuple(sorted(found, key=_late_and_urgent_first))

    def _boot(self, want: Want) -> float:
        """Seconds until the first node that could hold it might be there."""
        able = (k.boot for k in self.types.values() if holds(want.request, k.capacity, k.all_labels))
        return min(able, default=0.0)

    def _loads(self) -> tuple[list[Load], list[Load]]:
        """For those that are late, and for the others."""
        targets = self.rules.targets
        planned = [
            (s, load_of(s.want, targets[s.want.priority])) for s in self.reasons if s.want not in self.unplannable
        ]
        self._note_quotas([s.want for s, _ in planned])
        left = self.fleet.slots - self.fleet.slots_used if self.fleet.slots else None
        wanted = sum(load.count for _, load in planned)
        if left is not None and wanted > left:
            used = self.fleet.slots_used
            self.limits.append(Limit("MAX_CONCURRENT_JOBS", None, self.fleet.slots, used + wanted))
        late = within_slots((load for s, load in planned if s.late), left)
        rest = None if left is None else left - sum(load.count for load in late)
        return late, within_slots((load for s, load in planned if not s.late), rest)

    def _note_quotas(self, wants: Sequence[Want]) -> None:
        """Whether quotas of tenants let fewer run at once than should."""
        bound = [w for w in wants if w.most is not None]
        pairs = [(min(needed(w, self.rules.targets[w.priority]), w.most or 0), w) for w in bound]
        allowed, wanted = sum(n for n, _ in pairs), sum(needed(w, self.rules.targets[w.priority]) for w in bound)
        if allowed < wanted:
            self.limits.append(Limit("TENANT_QUOTAS", None, allowed, wanted))

    def _room(self) -> dict[str, int]:
        paid = self.fleet.paid()
        return {t: 0 if t in self.fleet.barred else max(0, k.most - paid[t]) for t, k in self.types.items()}

    def _note_full_types(self) -> None:
        """Types of which there may not be as many as late jobs need."""
        paid = self.fleet.paid()
        for load in self.packing.unplaced:
            for name, kind in self.types.items():
                full = name not in self.fleet.barred and paid[name] + _new(self.packing.bins)[name] >= kind.most
                limit = Limit("NODE_TYPES max", name, kind.most) if full else Limit("boot failed", name)
                if holds(load.request, kind.capacity, kind.all_labels) and limit not in self.limits:
                    self.limits.append(limit)

    def _idle(self) -> list[Bin]:
        """Nodes, and boots, that can be done without, the emptiest first."""
        able = [b for b in self.ready if b.type is not None and b.node is not None and not b.node.reserved]
        open_ones = [b for b in self.ready if b.node is None or not b.node.reserved]
        kept = [*open_ones, *self.booting, *(b for b in self.draining if b.loads)]
        unused = [b for b in self.booting if not b.loads]
        return [*unused, *spared(kept, sorted(able, key=_emptiest_first))]

    def _desired(self, idle: Sequence[Bin]) -> dict[str, int]:
        gone = {id(b) for b in (*idle, *(b for b in self.draining if not b.loads))}
        needed = Counter(b.type for b in self.packing.bins if id(b) not in gone)
        return {t: min(max(needed[t], k.least), k.most) for t, k in self.types.items()}

    def _additions(self, new: Sequence[Bin]) -> dict[str, int]:
        """Nodes to ask for: those that late jobs need and that are worth it, a step at most; and the least of a
        type."""
        worth = [b for b in new if self._worth(b)]
        step = max(STEP_LEAST, int(STEP_SHARE * (len(self.ready) + len(self.booting))))
        if self.fleet.paused:
            worth = []
            self.limits += [Limit("queue paused")] if new or any(b.loads for b in self.draining) else []
        elif len(worth) > step:
            self.limits.append(Limit("step", None, step, len(worth)))
        add = Counter(b.type for b in sorted(worth, key=lambda b: b.rank)[:step] if b.type is not None)
        present, barred = self.fleet.present(), self.fleet.barred
        room = self._room()
        for name, kind in self.types.items():
            if name not in barred:
                add[name] = max(add[name], min(kind.least - present[name], room[name]))
        return dict(+add)

    def _worth(self, one: Bin) -> bool:
        kind = self.types[one.type or ""]
        if is_worth(one.loads, kind, self.rules):
            return True
        gain, price = worth_of(one.loads, kind, self.rules)
        limit = Limit("CLASS_PRICES", kind.name, round(gain, 4), round(price, 4))
        if all((known.limit, known.type) != (limit.limit, limit.type) for known in self.limits):
            self.limits.append(limit)
        return False

    def _drains(self, idle: Sequence[Bin], floor: Mapping[str, int], add: Mapping[str, int]) -> list[FleetNode]:
        nodes = [b.node for b in idle if b.node is not None]
        present = self.fleet.present()
        drains: list[FleetNode] = []
        for name in self.types:
            over = present[name] - floor[name]
            if over <= 0 or add.get(name):
                continue
            able = [n for n in nodes if n.type == name and n.seasoned and n.empty_in <= self.rules.window]
            drains += able[: min(over, max(1, int(DOWN_SHARE * present[name])))]
        return drains


def _reference(fleet: Fleet, types: NodeTypes) -> Vector:
    """What dominant shares are shares of: all ready nodes; without any, one node of each type."""
    return total([n.capacity for n in fleet.ready]) if fleet.ready else total([k.capacity for k in types.values()])


def _new(bins: Iterable[Bin]) -> Counter[str | None]:
    return Counter(b.type for b in bins if b.node is None)


def _fullest_first(node: FleetNode) -> tuple[bool, float, str]:
    """Nodes that stay whatever is decided come before all others."""
    return node.type is not None, dominant(node.free, node.capacity), node.id


def _late_and_urgent_first(found: Slots) -> tuple[bool, int, str, Request]:
    want = found.want
    return not found.late, RANK[want.priority], want.bucket_id, want.request


def _emptiest_first(one: Bin) -> tuple[float, float, str]:
    node = one.node
    return (node.left, node.empty_in, node.id) if node is not None else (0.0, 0.0, "")
