"""All reasons why one job waits, for its exact demand, on one snapshot: what the plan that is made of it says."""

from __future__ import annotations

from app.domain.explain import Reason
from app.domain.records import Waiting
from app.domain.scheduler_state import QueuePause
from app.scheduler.outlook import placed, positions
from app.scheduler.planner import plan
from app.scheduler.scene import set_out
from app.scheduler.snapshot import Snapshot
from app.scheduler.verdicts import Judge


def why(snapshot: Snapshot, waiting: Waiting, pause: QueuePause | None = None) -> tuple[tuple[Reason, ...], int | None]:
    """The reasons, the deciding one first, but for its place in the queue; and how many jobs are before it.

    None of them when the next cycle places it.
    """
    job_id = waiting.member.job_id
    scene = set_out(snapshot, [waiting])
    whole = scene.snapshot
    planned = plan(whole)
    place = positions(whole, [job_id], scene.shares).get(job_id)
    ahead = None if place is None else place - 1
    if any(p.job_id == job_id for p in planned.placements):
        return (), ahead
    judge = Judge(placed(whole, planned), planned, pause)
    chosen = scene.jobs[job_id]
    return judge.reasons(job_id, chosen.bucket, chosen.member.demand), ahead
