"""Two ways to try a change of one waiting job: on the snapshot as it is, or on one made small."""

from __future__ import annotations

from typing import Protocol

from app.domain.nodes import Node
from app.domain.records import Waiting
from app.domain.what_if import AddNodes, Cancel, Supposed
from app.scheduler.outlook import outlook, positions
from app.scheduler.planner import shares_of
from app.scheduler.reduction import reduced, room_reaches
from app.scheduler.scene import Scene, set_out, without
from app.scheduler.snapshot import Snapshot
from app.scheduler.supposing import Kinds, new_nodes, suppose


class Probe(Protocol):
    """Answers for one job. `supposed` None: as things are."""

    def start(self, supposed: Supposed | None, kinds: Kinds) -> float | None:
        """Seconds until it starts, None when that is not in sight."""

    def position(self, supposed: Supposed, kinds: Kinds) -> int | None:
        """Where it then stands in the whole order."""


class Exact:
    """Plan and forecast on the snapshot itself."""

    def __init__(self, snapshot: Snapshot, waiting: Waiting) -> None:
        self._job_id = waiting.member.job_id
        self._scene = set_out(snapshot, [waiting])

    def start(self, supposed: Supposed | None, kinds: Kinds) -> float | None:
        return _start(_changed(self._scene, supposed, kinds), self._job_id)

    def position(self, supposed: Supposed, kinds: Kinds) -> int | None:
        return positions(_changed(self._scene, supposed, kinds).snapshot, [self._job_id]).get(self._job_id)


class Reduced:
    """What is asked of the job itself is tried on a small scene; room that comes free, on its node alone, and only
    whether it reaches the job at once."""

    def __init__(self, snapshot: Snapshot, waiting: Waiting) -> None:
        self._snapshot, self._waiting, self._job_id = snapshot, waiting, waiting.member.job_id
        self._shares = shares_of(snapshot)
        self._whole = set_out(snapshot, [waiting], self._shares)
        self._small = reduced(snapshot, waiting, self._shares)

    def start(self, supposed: Supposed | None, kinds: Kinds) -> float | None:
        match supposed:
            case AddNodes(_, kind):
                return self._at_once(new_nodes(1, kind, kinds, 0)[0])
            case Cancel(job_id):
                node = next(n for n in self._snapshot.nodes if any(a.job_id == job_id for a in n.allocations))
                return self._at_once(without(node, job_id))
            case _:
                return _start(_changed(self._small, supposed, kinds), self._job_id)

    def _at_once(self, node: Node) -> float | None:
        return 0.0 if room_reaches(self._snapshot, self._waiting, self._shares, node) else None

    def position(self, supposed: Supposed, kinds: Kinds) -> int | None:
        changed = _changed(self._whole, supposed, kinds)
        return positions(changed.snapshot, [self._job_id], self._shares).get(self._job_id)


def _changed(scene: Scene, supposed: Supposed | None, kinds: Kinds) -> Scene:
    return scene if supposed is None else suppose(scene, supposed, kinds)


def _start(scene: Scene, job_id: str) -> float | None:
    return outlook(scene.snapshot, [job_id]).starts.get(job_id)
