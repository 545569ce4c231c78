"""Why a job waits: computed once, here, from facts; every screen prints what this says.

Each reason has a code, a summary for people, and facts (names to numbers or text). The list is ordered: what decides
stands first. The planner's verdict on a bucket holds for all its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.dependencies import Waits
from app.domain.job import Job
from app.domain.states import JobStatus

Fact = float | int | str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits, or failed."""

    code: str
    summary: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def no_workers() -> Reason:
    return Reason("no_workers", "no worker is registered and ready; start one with: tensorfleet worker", {"nodes": 0})


def unsatisfiable(missing: Mapping[str, float], asked: Mapping[str, float]) -> Reason:
    """No node could hold the job even when empty. `missing`: dimension → the largest capacity there is."""
    parts = [f"{d} {asked[d]:g} > {limit:g} on the largest node" for d, limit in missing.items()]
    facts: dict[str, Fact] = {}
    for dimension, limit in missing.items():
        facts[f"{dimension}_asked"], facts[f"{dimension}_largest"] = asked[dimension], limit
    return Reason("unsatisfiable", "; ".join(parts), facts)


def node_selector(selector: Sequence[tuple[str, str]], nodes: int) -> Reason:
    wanted = ", ".join(f"{k}={v}" for k, v in selector)
    return Reason("node_selector", f"no node carries {wanted}", {"selector": wanted, "nodes": nodes, "matching": 0})


def concurrency_limit(used: int, limit: int) -> Reason:
    summary = f"{used} of {limit} concurrent jobs run (MAX_CONCURRENT_JOBS)"
    return Reason("concurrency_limit", summary, {"used": used, "limit": limit})


def resources(lacking: Mapping[str, float], asked: Mapping[str, float], node_id: str, fragmented: bool) -> Reason:
    """No node has room now. `lacking`: what the node that lacks least is short of, per dimension."""
    parts = [f"{d} {asked[d]:g}, short of {short:g}" for d, short in lacking.items()]
    facts: dict[str, Fact] = {"node": node_id, "fragmented": int(fragmented)}
    for dimension, short in lacking.items():
        facts[f"{dimension}_asked"], facts[f"{dimension}_short"] = asked[dimension], short
    return Reason("resources", f"needs {'; '.join(parts)} on {node_id}", facts)


def position(ahead: int, priority: str) -> Reason:
    before = "1 job is before it" if ahead == 1 else f"{ahead} jobs are before it"
    summary = "next in the queue" if ahead == 0 else before
    return Reason("position", summary, {"ahead": ahead, "class": priority})


def wait_reasons(
    job: Job, now: datetime, waits: Waits | None = None, verdict: Sequence[Reason] = (), ahead: int | None = None
) -> tuple[Reason, ...]:
    """All reasons why a job waits, the deciding one first; empty when it does not wait.

    `waits`: open dependencies; `verdict`: the planner's reasons for its bucket; `ahead`: jobs before it in the queue.
    """
    if job.status is JobStatus.SUBMITTED:
        return tuple(_not_eligible(job, now, waits))
    if job.status is JobStatus.RETRYING and job.retry_at is not None:
        left = max(0.0, (job.retry_at - now).total_seconds())
        summary = f"attempt {job.attempt} of {job.retry_policy.max_attempts} ended; the next starts in {left:.0f} s"
        return (Reason("retry_delay", summary, {"seconds_left": round(left, 3)}),)
    if job.status is JobStatus.PAUSED:
        return (Reason("held", f"paused by a user while {job.paused_from or 'waiting'}"),)
    if job.status is JobStatus.QUEUED:
        place = [position(ahead, job.effective_priority)] if ahead is not None else []
        return (*verdict, *place) or (Reason("position", "just queued; the next cycle decides"),)
    return ()


def _not_eligible(job: Job, now: datetime, waits: Waits | None) -> list[Reason]:
    reasons = []
    if waits is not None and waits.open:
        shown = ", ".join(waits.open[:3]) + (", …" if len(waits.open) > 3 else "")
        facts: dict[str, Fact] = {"open": len(waits.open), "first": waits.open[0]}
        reasons.append(Reason("dependencies", f"waits for {shown} to complete", facts))
    if job.start_after is not None and job.start_after > now:
        left = (job.start_after - now).total_seconds()
        facts = {"seconds_left": round(left, 3)}
        reasons.append(Reason("start_time", f"starts after {job.start_after:%Y-%m-%dT%H:%M:%SZ}", facts))
    return reasons or [Reason("position", "about to be queued")]
