"""When a lapsed lease says nothing: for a while after its node may have been unable to renew it. Pure.

A node is given up because it did not renew its lease although it could. After MongoDB was away, changed its primary or
jumped in time, and when a leader begins to look, nobody knows that; then nothing is given up for one lease time, so
that every node that lives has renewed by then. All times are the store's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.nodes import Node, NodeState
from app.domain.ports import Lease, StorePrimary, node_lease
from app.scheduler.repairs import Held

NEW_LEADER, STORE_AWAY, STORE_SILENT, NEW_PRIMARY = "new_leader", "store_away", "store_silent", "new_primary"


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the leases: when, who answered for the store, and in which term of the leader."""

    at: datetime
    primary: StorePrimary
    term: int | None


@dataclass(frozen=True, slots=True)
class HoldBack:
    """Nothing is given up before `until`."""

    until: datetime
    cause: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What the looks so far say. `before`: the last one, None when there was none or it failed for `cause`."""

    before: Look | None = None
    cause: str = NEW_LEADER
    held: HoldBack | None = None

    def interrupted(self, cause: str) -> Watch:
        """A look failed."""
        return replace(self, before=None, cause=cause)

    def seen(self, look: Look, lease: timedelta, longest_gap: timedelta) -> Watch:
        """After this look: held back anew where something came between it and the last.

        `longest_gap`: a node that beats can have met no longer silence of the store and still have renewed in time.
        """
        cause = self.cause if self.before is None else _interruption(self.before, look, longest_gap)
        if cause is not None:
            return Watch(look, held=HoldBack(look.at + lease, cause))
        going_on = self.held is not None and look.at < self.held.until
        return Watch(look, held=self.held if going_on else None)


def _interruption(before: Look, look: Look, longest_gap: timedelta) -> str | None:
    if look.term is None or look.term != before.term:
        return NEW_LEADER
    if look.primary != before.primary:
        return NEW_PRIMARY
    return STORE_SILENT if abs(look.at - before.at) > longest_gap else None


@dataclass(frozen=True, slots=True)
class LostNode:
    """A node to be given up: its lapsed lease, its document if it has one, and the runs that were on it before."""

    node_id: str
    lease: Lease
    node: Node | None
    runs: tuple[Held, ...]


def node_of(lease: Lease) -> str | None:
    """The node whose lease this is; None for another's."""
    prefix = node_lease("")
    return lease.name.removeprefix(prefix) if lease.name.startswith(prefix) else None


def lost_nodes(lapsed: Sequence[Lease], nodes: Mapping[str, Node], runs: Iterable[Held]) -> list[LostNode]:
    """The nodes with a lapsed lease that do not say so yet, or still have runs: a crash came between.

    One that has registered under a newer epoch since its lease was seen lapsed lives, and settles its runs itself.
    """
    on_node: dict[str, list[Held]] = {}
    for held in sorted(runs):
        on_node.setdefault(held.node_id, []).append(held)
    found = []
    for lease in lapsed:
        node_id = node_of(lease)
        if node_id is None:
            continue
        node, left = nodes.get(node_id), tuple(on_node.get(node_id, ()))
        if node is not None and node.epoch > lease.epoch:
            continue
        if left or (node is not None and node.state is not NodeState.LOST):
            found.append(LostNode(node_id, lease, node, left))
    return found
