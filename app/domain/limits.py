"""Limits: how many jobs that name one, or that are of one batch, may be queued or run at once.

A job takes a place in each of its limits when it is queued, and keeps them until it has ended, between its runs and
while it is paused too. Without them it stays SUBMITTED. Whether a job holds its places follows from its state alone;
the ledger of places is what makes taking one safe. A batch with a width is a limit of its own, called `batch:{id}`, a
name that no named limit can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.domain.job import Job
from app.domain.priority import RANK
from app.domain.states import JobStatus

Held = Mapping[str, Mapping[str, str]]
"""By limit: the jobs that hold a place, each with the token under which it was taken last."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job's place in a limit. With a `token`: only the one that was taken under it."""

    name: str
    job_id: str
    token: str | None = None


_BATCH = "batch:"


def batch_limit(batch_id: str) -> str:
    """The name of the limit that a batch is for its jobs."""
    return _BATCH + batch_id


def batch_of(name: str) -> str | None:
    """The batch whose limit this is; None for a named limit."""
    return name.removeprefix(_BATCH) if name.startswith(_BATCH) else None


def limits_of(job: Job) -> tuple[str, ...]:
    """Those that it takes a place in: its batch's first, then those that it names."""
    if job.batch_id is None or job.membership is None or job.membership.width is None:
        return job.limits
    return (batch_limit(job.batch_id), *job.limits)


def holds_places(job: Job) -> bool:
    """Whether the job must have a place in each of its limits now."""
    if not limits_of(job) or job.terminal or job.status is JobStatus.SUBMITTED:
        return False
    return job.paused_from is not JobStatus.SUBMITTED


def places_of(job: Job) -> list[Place]:
    """One in each of its limits."""
    return [Place(name, job.id) for name in limits_of(job)]


def in_turn(jobs: Iterable[Job]) -> list[Job]:
    """The order in which waiting jobs are let in: effective class, then order key."""
    return sorted(jobs, key=lambda job: (RANK[job.effective_priority], job.order_key, job.id))


def sizes_of(job: Job, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes of those of its limits that exist, its batch's first; what exists no more limits nothing."""
    named = {name: sizes[name] for name in job.limits if name in sizes}
    if job.batch_id is None or job.membership is None or job.membership.width is None:
        return named
    return {batch_limit(job.batch_id): job.membership.width, **named}


def full(held: Held, sizes: Mapping[str, int]) -> set[str]:
    """The limits in which no place is free."""
    return {name for name, size in sizes.items() if len(held.get(name, {})) >= size}


def astray(held: Held, truth: Mapping[str, Sequence[str]]) -> list[Place]:
    """Places that are held by jobs that must not. `truth`: the limits in which a job must have a place, by its id."""
    return [
        Place(name, job_id, token)
        for name, holders in held.items()
        for job_id, token in holders.items()
        if name not in truth.get(job_id, ())
    ]


def missing(held: Held, truth: Mapping[str, Sequence[str]], names: Iterable[str]) -> list[Place]:
    """Places in these limits that jobs must have, and have not."""
    known = set(names)
    return [
        Place(name, job_id)
        for job_id, limits in truth.items()
        for name in limits
        if name in known and job_id not in held.get(name, {})
    ]
