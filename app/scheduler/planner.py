"""Decide which waiting jobs start where: greedy over candidates in order, each on the node that it fits best.

Pure and deterministic: the same snapshot gives the same plan, whatever order its parts came in, and the last word in
every comparison is an id. No placement exceeds what is free; GPU indices are disjoint; a suspect shares its node with
nobody. A bucket that cannot be planned is named in `faults` and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.resources import Vector
from app.scheduler.ordering import Candidate, Candidates
from app.scheduler.pool import Pool
from app.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Placement:
    """One waiting job and where it is to run: on a node as it registered under `epoch`.

    `vector` and `gpu_indices` are what its allocation holds: what was asked for, or the whole node where it is to run
    `alone`; `job_gpus` are those that it may use.
    """

    job_id: str
    bucket_id: str
    node_id: str
    epoch: int
    vector: Vector
    gpu_indices: tuple[int, ...] = ()
    job_gpus: tuple[int, ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`capped`: the plan stopped at its size, another is to follow at once. `faults`: bucket id → what went wrong."""

    placements: tuple[Placement, ...]
    capped: bool
    faults: Mapping[str, str]


def plan(snapshot: Snapshot, candidates: Candidates, most: int) -> Plan:
    """The plan of at most `most` placements."""
    pool = Pool.of(snapshot.ready, snapshot.slot_limit, snapshot.slots_used)
    placements: list[Placement] = []
    faults: dict[str, str] = {}
    while pool.slots != 0 and len(placements) < most:
        candidate = candidates.next()
        if candidate is None:
            break
        try:
            placement = _place(pool, candidate)
        except Exception as error:  # noqa: BLE001  whatever is wrong with one bucket must not stop the others
            faults[candidate.head.bucket_id] = f"{type(error).__name__}: {error}"
            continue
        if placement is not None:
            placements.append(placement)
            candidates.placed(candidate)
    capped = len(placements) >= most and snapshot.waiting > len(placements)
    return Plan(tuple(placements), capped, faults)


def _place(pool: Pool, candidate: Candidate) -> Placement | None:
    bucket = candidate.bucket
    room = pool.best(bucket)
    if room is None:
        return None
    taken = pool.take(room, bucket)
    return Placement(
        candidate.member.job_id, candidate.head.bucket_id, room.node.id, room.node.epoch, *taken, bucket.alone
    )
