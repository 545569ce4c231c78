"""Why a job waits: computed once, here, from facts; every screen prints what this says.

Each reason has a code, a summary for people, and facts (names to numbers or text). The list is ordered: what decides
stands first. The planner's verdict on a bucket holds for all its members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.domain.dependencies import RULES, Waits
from app.domain.job import SUSPECT_AFTER, Entry, Job
from app.domain.states import JobStatus
from app.domain.transitions import SYSTEM

Fact = float | int | str
WAIT_CODES = (
    "dependencies", "start_time", "resources", "node_selector", "concurrency_limit", "behind_reservation", "held",
    "queue_paused", "fair_share", "quota", "retry_delay", "no_workers", "unsatisfiable", "position",
)  # fmt: skip
"""Every code that a reason to wait may have."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something waits, or failed."""

    code: str
    summary: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


def no_workers(draining: Sequence[str] = ()) -> Reason:
    """`draining`: nodes that are there, and take no more work."""
    if not draining:
        summary = "no worker is registered and ready; start one with: tensorfleet worker"
        return Reason("no_workers", summary, {"nodes": 0})
    summary = f"no worker takes work: {_named(draining)} {_is(draining)} draining"
    return Reason("no_workers", summary, {"nodes": 0, "draining": _named(draining)})


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


def named_limit(name: str, limit: int, holders: Sequence[str]) -> Reason:
    """All places of a named limit (CONCURRENCY_LIMITS) are taken."""
    facts: dict[str, Fact] = {"name": name, "limit": limit, "held": len(holders), "holders": _named(holders)}
    places = "its only place is" if limit == 1 else f"its {limit} places are"
    return Reason("concurrency_limit", f"waits for limit {name}: {places} held by {_named(holders)}", facts)


def batch_width(batch_id: str, width: int, holders: Sequence[str]) -> Reason:
    """As many jobs of the batch as its `max_parallel` are in the queue or further."""
    facts: dict[str, Fact] = {"name": batch_id, "limit": width, "held": len(holders), "holders": _named(holders)}
    let_in = "1 job of it is let in" if width == 1 else f"{width} jobs of it are let in"
    summary = f"waits for batch {batch_id}: {let_in} at once (max_parallel), now {_named(holders)}"
    return Reason("concurrency_limit", summary, facts | {"batch": batch_id})


def batch_order(batch_id: str, before: str) -> Reason:
    """A job of its sequential batch that comes before it has not ended."""
    facts: dict[str, Fact] = {"name": batch_id, "limit": 1, "held": 1, "holders": before, "batch": batch_id}
    summary = f"waits for batch {batch_id}, whose jobs follow each other: {before} has not ended"
    return Reason("concurrency_limit", summary, facts)


def resources(lacking: Mapping[str, float], asked: Mapping[str, float], node_id: str, fragmented: bool) -> Reason:
    """No node has room now. `lacking`: what the node that lacks least is short of, per dimension."""
    parts = [f"{d} {asked[d]:g}, short of {short:g}" for d, short in lacking.items()]
    facts: dict[str, Fact] = {"node": node_id, "fragmented": int(fragmented)}
    for dimension, short in lacking.items():
        facts[f"{dimension}_asked"], facts[f"{dimension}_short"] = asked[dimension], short
    return Reason("resources", f"needs {'; '.join(parts)} on {node_id}", facts)


def draining(nodes: Sequence[str], asked: Mapping[str, float]) -> Reason:
    """Only nodes that take no more work could hold it."""
    facts: dict[str, Fact] = {f"{dimension}_asked": amount for dimension, amount in asked.items() if amount}
    summary = f"would fit on {_named(nodes)} only, which {_is(nodes)} draining"
    return Reason("resources", summary, facts | {"draining": _named(nodes)})


def alone(node_id: str, runs: int, able: int) -> Reason:
    """A suspect waits for an empty node. `node_id` has the fewest runs among the `able` that could hold it."""
    why = f"{SUSPECT_AFTER} workers crashed under it, so it runs alone"
    others = "1 run is" if runs == 1 else f"{runs} runs are"
    facts: dict[str, Fact] = {"alone": 1, "node": node_id, "runs_on_node": runs, "nodes_large_enough": able}
    return Reason("resources", f"{why}; no node is empty, and {others} on {node_id}", facts)


def _named(nodes: Sequence[str]) -> str:
    return ", ".join(nodes[:3]) + (", …" if len(nodes) > 3 else "")


def _is(nodes: Sequence[str]) -> str:
    return "is" if len(nodes) == 1 else "are"


def quota(tenant: str, what: str, amount: float, limit: float) -> Reason:
    """A start would put the tenant over what it may hold. `what`: a dimension, or `running` for the number of runs."""
    facts: dict[str, Fact] = {"tenant": tenant, "dimension": what, "would_hold": amount, "limit": limit}
    return Reason("quota", f"tenant {tenant} would hold {what} {amount:g}, and may hold {limit:g}", facts)


def fair_share(tenant: str, level: float, entitled: float, before: Sequence[str]) -> Reason:
    """`level`: what the tenant holds and held over its share; `entitled`: that share; `before`: tenants that go
    first."""
    facts: dict[str, Fact] = {"tenant": tenant, "level": round(level, 2), "entitled": round(entitled, 4)}
    summary = f"tenant {tenant} has {level:.1f} times its share, so {_named(before)} {_goes(before)} first"
    return Reason("fair_share", summary, facts | {"before": _named(before)})


def behind_reservation(job_id: str, node_id: str, by: datetime, limit: datetime) -> Reason:
    """There is room, but it is promised."""
    facts: dict[str, Fact] = {"job": job_id, "node": node_id, "by": _moment(by), "until": _moment(limit)}
    summary = f"fits on {node_id}, which is promised to {job_id} by {_moment(by)}"
    return Reason("behind_reservation", summary, facts)


def queue_paused(actor: str, since: datetime, reason: str | None) -> Reason:
    why = f": {reason}" if reason else ""
    facts: dict[str, Fact] = {"by": actor, "since": _moment(since)}
    summary = f"the queue was paused by {actor}{why}; POST /queue/resume lets it go on"
    return Reason("queue_paused", summary, facts | ({"reason": reason} if reason else {}))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _goes(nodes: Sequence[str]) -> str:
    return "goes" if len(nodes) == 1 else "go"


def position(ahead: int, priority: str) -> Reason:
    before = "1 job is before it" if ahead == 1 else f"{ahead} jobs are before it"
    summary = "next in the queue" if ahead == 0 else before
    return Reason("position", summary, {"ahead": ahead, "class": priority})


def wait_reasons(
    job: Job,
    now: datetime,
    waits: Waits | None = None,
    verdict: Sequence[Reason] = (),
    ahead: int | None = None,
    places: Sequence[Reason] = (),
) -> tuple[Reason, ...]:
    """All reasons why a job waits, the deciding one first; empty when it does not wait.

    `waits`: open dependencies; `verdict`: the planner's reasons for its bucket; `ahead`: jobs before it in the queue;
    `places`: named limits in which it lacks a place.
    """
    if job.status is JobStatus.SUBMITTED:
        return tuple(_not_eligible(job, now, waits, places))
    if job.status is JobStatus.RETRYING and job.retry_at is not None:
        left = max(0.0, (job.retry_at - now).total_seconds())
        attempt = f"attempt {job.attempts_counted} of {job.retry_policy.max_attempts}"
        summary = f"{attempt} ended ({job.history[-1].reason}); the next run is queued in {left:.0f} s"
        return (Reason("retry_delay", summary, {"seconds_left": round(left, 3)}),)
    if job.status is JobStatus.PAUSED:
        return (_paused(job, now),)
    if job.status is JobStatus.QUEUED:
        place = [position(ahead, job.effective_priority)] if ahead is not None else []
        return (*verdict, *place) or (Reason("position", "just queued; the next cycle decides"),)
    return ()


def _paused(job: Job, now: datetime) -> Reason:
    """Who paused it, why, and since when; what became of its run; and what ends it."""
    entry, asked = _pause_of(job.history)
    facts: dict[str, Fact] = {
        "by": asked.actor,
        "since": _moment(entry.at),
        "seconds": round(max(0.0, (now - entry.at).total_seconds()), 3),
    }
    if asked.detail:
        facts["reason"] = asked.detail
    why = f": {asked.detail}" if asked.detail else ""
    if job.node_id is not None:
        facts["node"] = job.node_id
        what = f"frozen on {job.node_id} by {asked.actor}{why}; it keeps its room there, resume it to go on"
    elif job.released:
        kept = "goes on from its checkpoint" if job.checkpoint else "starts over"
        what = f"paused and released by {asked.actor}{why}; resume it to queue it again, it {kept}"
    else:
        what = f"held by {asked.actor} while {job.paused_from or 'waiting'}{why}; resume it to go on"
    return Reason("held", what, facts)


def _pause_of(history: Sequence[Entry]) -> tuple[Entry, Entry]:
    """The entry with which the job was paused, and that of the user who asked for it, whose node carried it out."""
    n = max(
        (n for n, e in enumerate(history) if e.to is JobStatus.PAUSED and e.source is not JobStatus.PAUSED),
        default=len(history) - 1,
    )
    paused = history[n]
    requests = (e for e in reversed(history[:n]) if e.reason == "control_requested")
    return paused, next(requests, paused) if paused.actor == SYSTEM else paused


def _not_eligible(job: Job, now: datetime, waits: Waits | None, places: Sequence[Reason]) -> list[Reason]:
    reasons: list[Reason] = []
    if waits is not None and waits.open:
        shown = ", ".join(waits.open[:3]) + (", …" if len(waits.open) > 3 else "")
        facts: dict[str, Fact] = {"open": len(waits.open), "first": waits.open[0]}
        reasons.append(Reason("dependencies", f"waits for {shown} {RULES[job.dependency_type].awaits}", facts))
    if job.start_after is not None and job.start_after > now:
        left = (job.start_after - now).total_seconds()
        facts = {"seconds_left": round(left, 3)}
        reasons.append(Reason("start_time", f"starts after {job.start_after:%Y-%m-%dT%H:%M:%SZ}", facts))
    return [*reasons, *places] or [Reason("position", "about to be queued")]
