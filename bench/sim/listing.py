"""List scheduling: what all baselines share. Jobs in an order; each goes to the node that it fits best, by the score
of the service; a blocked one stops the list, is skipped, or gets a reservation.

A reservation is one node from the time on at which the job should fit there, by what is believed of durations. Later
jobs may start on that node when they end before, or fit beside (Lifka's EASY, 1995). It is made anew in each cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from app.domain.nodes import Node
from app.domain.resources import Vector
from app.scheduler.placement import Score, pick_gpus, score
from app.scheduler.profile import LEAST_OVERDUE, Hold, by_soft_end, earliest, free_at
from bench.sim.engine import Start
from bench.sim.jobs import SimJob
from bench.sim.ledger import Ledger

Believed = Callable[[SimJob], int]
"""How long a policy believes that a job takes, in µs."""


@dataclass(slots=True)
class Place:
    """A node while a list is worked off. `reserved`: from when on, and for whom."""

    node: Node
    free: Vector
    gpus: tuple[int, ...]
    holds: list[Hold] | None = None
    reserved: tuple[int, Vector] | None = None


@dataclass(slots=True)
class Listing:
    """One cycle. `stop`: a blocked job stops the list; `reservations`: so many blocked ones get one."""

    ledger: Ledger
    now: int
    believed: Believed
    reservations: int = 0
    stop: bool = False
    starts: list[Start] = field(default_factory=list)
    _places: list[Place] = field(default_factory=list)
    _open: list[Place] = field(default_factory=list)
    _kept: list[Place] = field(default_factory=list)
    _nowhere: set[Vector] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._open = [Place(n, n.free, n.free_gpus) for n in self.ledger.nodes.values()]

    @property
    def full(self) -> bool:
        """Whether no reservation is left to give."""
        return len(self._kept) >= self.reservations

    def offer(self, jobs: Iterable[SimJob]) -> list[SimJob]:
        """Work the jobs off in order, until reservations are given out; answers those that are still to be offered."""
        pending = iter(jobs)
        for job in pending:
            if job.vector in self._nowhere and self.full and not self._kept:
                continue
            if (place := self._best(job)) is not None:
                self._take(place, job)
            elif self.stop:
                return []
            elif not self.full:
                self._reserve(job)
                if self.full:
                    return list(pending)
        return []

    def _best(self, job: SimJob) -> Place | None:
        found = None if job.vector in self._nowhere else self._best_open(job.vector)
        if found is None:
            self._nowhere.add(job.vector)
            return next((p for p in self._kept if job.vector.fits(p.free) and self._spares(p, job)), None)
        return found

    def _best_open(self, vector: Vector) -> Place | None:
        known: dict[tuple[Vector, Vector], Score] = {}
        best: tuple[Score, Place] | None = None
        for place in self._open:
            if vector.fits(place.free):
                kind = place.node.capacity, place.free
                points = known.get(kind) or known.setdefault(kind, score(vector, *kind))
                if best is None or points < best[0]:
                    best = points, place
        return best[1] if best else None

    def _spares(self, place: Place, job: SimJob) -> bool:
        """Whether the job leaves the reservation on that place as it is."""
        assert place.reserved is not None
        at, vector = place.reserved
        if self.now + self.believed(job) <= at:
            return True
        return (vector + job.vector).fits(free_at(at, place.free, self._holds(place), by_soft_end))

    def _take(self, place: Place, job: SimJob) -> None:
        gpus = pick_gpus(place.gpus, job.vector.gpu)
        holds = self._holds(place) if place.holds is not None else None
        place.free = place.free - job.vector
        place.gpus = tuple(i for i in place.gpus if i not in gpus)
        if holds is not None:
            holds.append(_hold(job, self.now + self.believed(job)))
        self.starts.append(Start(job, place.node.id, gpus))

    def _reserve(self, job: SimJob) -> None:
        best: tuple[int, Score, Place] | None = None
        for place in self._open:
            at = earliest(job.vector, place.free, self._holds(place), by_soft_end, self.now)
            if at is not None and (best is None or at <= best[0]):
                free = free_at(at, place.free, self._holds(place), by_soft_end)
                points = score(job.vector, place.node.capacity, free)
                if best is None or (at, points) < best[:2]:
                    best = at, points, place
        if best is not None:
            best[2].reserved = best[0], job.vector
            self._open.remove(best[2])
            self._kept.append(best[2])

    def _holds(self, place: Place) -> list[Hold]:
        if place.holds is None:
            runs = self.ledger.on_node[place.node.id].values()
            place.holds = [_hold(r.job, self._end(r.started, r.started + self.believed(r.job))) for r in runs]
            mine = [s.job for s in self.starts if s.node_id == place.node.id]
            place.holds += [_hold(job, self.now + self.believed(job)) for job in mine]
        return place.holds

    def _end(self, started: int, believed: int) -> int:
        return believed if believed > self.now else self.now + max(LEAST_OVERDUE, (self.now - started) // 2)


def _hold(job: SimJob, end: int) -> Hold:
    return Hold(job.vector, end, end)
