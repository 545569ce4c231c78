"""Decide which waiting jobs start where: greedy over candidates in order, each on the node that it fits best.

Pure and deterministic: the same snapshot gives the same plan, whatever order its parts came in, and the last word in
every comparison is an id. No placement exceeds what is free; GPU indices are disjoint; a suspect shares its node with
nobody; no placement breaks a promise but one of a strictly higher class. The first blocked jobs get a promise each;
from then on short jobs go first. A bucket that cannot be planned is named in `faults` and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.ageing import cost_of, credit_after
from app.domain.fairness import Shares
from app.domain.priority import RANK, Priority
from app.domain.promises import OVERDUE_RANK, Promise
from app.domain.queueing import Bucket, Demand, main_order
from app.domain.resources import Vector
from app.scheduler.carried import Revoked, carry_over
from app.scheduler.pool import Pool, Room
from app.scheduler.preemption import UNWIND, Eviction, make_way, waits_long, within_budget
from app.scheduler.reservations import Comer, Slots, admits, keeps, reserve
from app.scheduler.rules import QuotaGate
from app.scheduler.snapshot import Snapshot
from app.scheduler.turns import Candidate, Turns

TRIES = 8
"""Blocked jobs that have another turn when a promise was kept."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One waiting job and where it is to run: on a node as it registered under `epoch`.

    `vector` and `gpu_indices` are what its allocation holds: what was asked for, or the whole node where it is to run
    alone; `job_gpus` are those that it may use. `overdue`: it came from the guarantee lane.
    """

    job_id: str
    bucket_id: str
    bucket: Bucket
    demand: Demand
    node_id: str
    epoch: int
    vector: Vector
    gpu_indices: tuple[int, ...] = ()
    job_gpus: tuple[int, ...] = ()
    overdue: bool = False

    @property
    def alone(self) -> bool:
        return self.demand.alone


@dataclass(frozen=True, slots=True)
class OverQuota:
    """What a placement would exceed. `dimension`: its number in a vector, None for the number of runs."""

    dimension: int | None
    amount: int
    limit: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`capped`: the plan stopped at its size, another is to follow at once. `promises`: in force after it. `withheld`:
    bucket id → whose promise its head may not break; `over_quota`: bucket id → what its head would exceed; `faults`:
    bucket id → what went wrong; `evictions`: runs that are to make way."""

    placements: tuple[Placement, ...]
    capped: bool
    faults: Mapping[str, str]
    promises: tuple[Promise, ...] = ()
    revoked: tuple[Revoked, ...] = ()
    credit: int = 0
    withheld: Mapping[str, Promise] | None = None
    over_quota: Mapping[str, OverQuota] | None = None
    evictions: tuple[Eviction, ...] = ()


def plan(snapshot: Snapshot) -> Plan:
    """The plan, of at most as many placements as its rules say."""
    planning = _Planning(snapshot)
    if not snapshot.paused:
        planning.run()
    return planning.outcome()


def shares_of(snapshot: Snapshot) -> Shares:
    """What each tenant holds of what it is entitled to, on this snapshot."""
    waiting = {h.bucket.tenant for h in snapshot.heads}
    held = snapshot.held_by_tenant()
    return Shares.of(snapshot.capacity, snapshot.rules.weights, held, waiting, snapshot.history)


class _Planning:
    """One plan while it grows."""

    def __init__(self, snapshot: Snapshot) -> None:
        rules, now = snapshot.rules, snapshot.now
        self.snapshot, self.rules, self.now = snapshot, rules, now
        self.capacity = snapshot.capacity
        self.pool = Pool.of(snapshot.ready, snapshot.holds_on)
        self.shares = shares_of(snapshot)
        self.gate = QuotaGate(rules.quotas, self.shares.allocated, _runs(snapshot) if rules.quotas else {})
        self.turns = Turns(snapshot.heads, snapshot.lane, self.shares.band)
        self.hard_ends = _hard_ends(snapshot) if rules.slots else []
        self.credit = snapshot.credit
        self.revoked: list[Revoked] = carry_over(snapshot, self.pool)
        self.placements: list[Placement] = []
        self.faults: dict[str, str] = {}
        self.withheld: dict[str, Promise] = {}
        self.over_quota: dict[str, OverQuota] = {}
        self.evictions: tuple[Eviction, ...] = ()
        self.passed: list[Candidate] = []
        self.short_first = False

    def run(self) -> None:
        self._serve_first_overdue()
        while len(self.placements) < self.rules.placements and self._slots_left() != 0:
            candidate = self.turns.next(lane_open=self.credit >= 0)
            if candidate is None:
                return
            try:
                self._consider(candidate)
            except Exception as error:  # noqa: BLE001  whatever is wrong with one bucket must not stop the others
                self.faults[candidate.bucket_id] = f"{type(error).__name__}: {error}"

    def outcome(self) -> Plan:
        placed = len(self.placements)
        capped = placed >= self.rules.placements and self.snapshot.waiting > placed
        return Plan(
            tuple(self.placements),
            capped,
            self.faults,
            self.pool.promises(),
            tuple(self.revoked),
            self.credit,
            self.withheld,
            self.over_quota,
            self.evictions,
        )

    def _serve_first_overdue(self) -> None:
        """The first of the overdue has a promise that nobody may break, whatever the credit."""
        if not self.snapshot.lane:
            return
        first = self.snapshot.lane[0]
        demand, job_id = first.member.demand, first.member.job_id
        room = self.pool.room_promised_to(job_id)
        if room is None and self.pool.best(demand, job_id, lambda _: False) is None:
            self._reserve(job_id, first.member.demand, OVERDUE_RANK)

    def _consider(self, candidate: Candidate) -> None:
        bucket, member = candidate.bucket, candidate.member
        exceeded = self.gate.exceeded(bucket.tenant, member.demand.vector)
        if exceeded is not None:
            self.over_quota[candidate.bucket_id] = OverQuota(*exceeded)
            self.turns.blocked(candidate)
            return
        room = self._room(candidate)
        if room is not None:
            self._place(candidate, room)
        else:
            self._block(candidate)

    def _room(self, candidate: Candidate) -> Room | None:
        member, now = candidate.member, self.now
        if self.rules.slots:
            others = [p for p in self.pool.promises() if p.job_id != member.job_id]
            if not self._slots().allow(now + member.demand.hard, others):
                return None
        comer = self._comer(candidate)
        return self.pool.best(member.demand, member.job_id, lambda room: admits(room, comer, now))

    def _comer(self, candidate: Candidate) -> Comer:
        demand = candidate.member.demand
        return Comer(demand, RANK[candidate.bucket.priority], self.rules.preemption and demand.preemptible)

    def _place(self, candidate: Candidate, room: Room) -> None:
        demand, job_id = candidate.member.demand, candidate.member.job_id
        kept = self.pool.room_promised_to(job_id)
        if kept is not None:
            self.pool.promise(kept, None)
        hard_end = self.now + demand.hard
        taken = self.pool.take(room, demand, self.now + demand.cautious, hard_end)
        self.hard_ends.append(hard_end)
        tenant = candidate.bucket.tenant
        self.shares.add(tenant, taken.vector)
        self.gate.add(tenant, taken.vector)
        cost = cost_of(demand, self.capacity)
        self.credit = credit_after(self.credit, cost, self.rules.ageing, from_lane=candidate.from_lane)
        node = room.node
        self.placements.append(
            Placement(
                job_id,
                candidate.bucket_id,
                candidate.bucket,
                demand,
                node.id,
                node.epoch,
                *taken,
                overdue=candidate.from_lane,
            )
        )
        self.turns.placed(candidate)
        if kept is not None:
            self._another_turn()
        if room.promise is not None and not keeps(room, room.promise):
            self.revoked.append(Revoked(room.promise, "higher_class"))
            self.pool.promise(room, None)

    def _block(self, candidate: Candidate) -> None:
        """It waits: with a promise, if there is one left to give."""
        member = candidate.member
        rooms = self.pool.promised_fits(member.demand)
        if rooms and rooms[0].promise is not None:
            self.withheld.setdefault(candidate.bucket_id, rooms[0].promise)
        promised = self.pool.room_promised_to(member.job_id) is not None or self._promise(candidate)
        if self.rules.preemption and candidate.bucket.priority is Priority.URGENT and not self.evictions:
            self._have_others_make_way(candidate)
        if promised:
            self.turns.enter_successor(candidate)
        else:
            self.passed.append(candidate)
            self.turns.blocked(candidate)
        if not self.short_first and not self._promises_left():
            self.short_first = True
            self.turns.backfill()

    def _have_others_make_way(self, candidate: Candidate) -> None:
        """Once a cycle, where that is worth it: the room that will be free is promised to the job at once."""
        demand, job_id = candidate.member.demand, candidate.member.job_id
        kept = self.pool.room_promised_to(job_id)
        if not within_budget(self.snapshot) or not waits_long(kept, demand, self.now, self.rules.preempt_grace):
            return
        rooms = [r for r in self.pool.able(demand) if r.promise is None or r is kept]
        rank = RANK[candidate.bucket.priority]
        made = make_way(self.snapshot, rooms, demand, job_id, rank, self.shares.level)
        if made is None:
            return
        room, self.evictions = made
        if kept is not None:
            self.pool.promise(kept, None)
        by = self.now + self.rules.preempt_grace + UNWIND
        self.pool.promise(room, Promise(job_id, room.node.id, by, by + self.rules.slack, self.now, rank, demand))

    def _another_turn(self) -> None:
        """A promise was kept: what it leaves is for those who were blocked before, too. Else the next of the same
        bucket would have the promise, and a tenant that once had all promises would keep them for good."""
        self.passed.sort(key=self._order)
        self.turns.again(self.passed[:TRIES])
        del self.passed[:TRIES]

    def _order(self, candidate: Candidate) -> tuple[int, int, float, str]:
        bucket, member = candidate.bucket, candidate.member
        return main_order(bucket, self.shares.band(bucket.tenant), member.key, member.job_id)

    def _promises_left(self) -> bool:
        """The promise to the first of the overdue comes on top."""
        return sum(p.rank != OVERDUE_RANK for p in self.pool.promises()) < self.rules.reservations

    def _promise(self, candidate: Candidate) -> bool:
        member = candidate.member
        rank = RANK[candidate.bucket.priority]
        return self._promises_left() and self._reserve(member.job_id, member.demand, rank)

    def _reserve(self, job_id: str, demand: Demand, rank: int) -> bool:
        made = reserve(self.pool, self._slots(), demand, job_id, rank, self.now, self.rules.slack)
        if made is not None:
            self.pool.promise(*made)
        return made is not None

    def _slots(self) -> Slots:
        return Slots(self.rules.slots, tuple(self.hard_ends))

    def _slots_left(self) -> int | None:
        return max(0, self.rules.slots - len(self.hard_ends)) if self.rules.slots else None


def _runs(snapshot: Snapshot) -> Counter[str]:
    """How many runs each tenant has."""
    return Counter(tenant for tenant, _ in snapshot.held_by_tenant())


def _hard_ends(snapshot: Snapshot) -> list[int]:
    return [hold.hard_end for node in snapshot.nodes for hold in snapshot.holds_on(node)]
