"""What there is to decide about: nodes, jobs that wait, jobs that keep coming. Seconds are from now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.nodes import matches
from app.domain.priority import Priority
from app.domain.queueing import Request
from app.domain.resources import Vector


@dataclass(frozen=True, slots=True)
class FleetNode:
    """A node. `type`: None where it is nobody's business here; `runs`: what each of its runs asks for; `left`: what is
    left of them, in seconds of the whole node; `empty_in`: when the last should end; `seasoned`: it has been ready long
    enough to be given up; `reserved`: a job is promised it."""

    id: str
    type: str | None
    capacity: Vector
    labels: Mapping[str, str]
    free: Vector
    runs: tuple[Request, ...] = ()
    left: float = 0.0
    empty_in: float = 0.0
    seasoned: bool = True
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Want:
    """Jobs of one bucket that wait, and ask for the same. `mean`: seconds that one runs; `waited`: those that the first
    has waited; `starts_in`: until the last should start with the nodes that there are, None when that is not in
    sight; `most`: that their tenant's quota lets run at once."""

    bucket_id: str
    priority: Priority
    request: Request
    waiting: int
    mean: float
    waited: float = 0.0
    starts_in: float | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """Jobs that keep coming: `rate` a second."""

    priority: Priority
    request: Request
    mean: float
    rate: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """`ready`: nodes that take work; `draining`: those that the fleet has told to take no more, and may have back;
    `booting`: asked for and not there yet, by type; `aside`: that live and neither take work nor come back; `barred`:
    types that are not to be asked for at present; `ends`: of the runs by what they hold, when they should end; `slots`:
    the most runs at once, 0 for any number; `paused`: nothing is to start."""

    ready: Sequence[FleetNode] = ()
    draining: Sequence[FleetNode] = ()
    booting: Mapping[str, int] = field(default_factory=dict)
    aside: Mapping[str, int] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()
    wants: Sequence[Want] = ()
    streams: Sequence[Stream] = ()
    ends: Mapping[Vector, Sequence[float]] = field(default_factory=dict)
    slots: int = 0
    slots_used: int = 0
    paused: bool = False

    def present(self) -> Counter[str]:
        """Nodes by type that take work, or will."""
        return Counter(n.type for n in self.ready if n.type is not None) + Counter(self.booting)

    def paid(self) -> Counter[str]:
        """Nodes by type that cost something: those that leave, too."""
        return self.present() + Counter(n.type for n in self.draining if n.type is not None) + Counter(self.aside)


def holds(request: Request, capacity: Vector, labels: Mapping[str, str]) -> bool:
    """Whether a node could hold it when empty."""
    vector, selector, _ = request
    return vector.fits(capacity) and matches(labels, dict(selector))
