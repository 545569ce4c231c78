"""What is to be said of jobs beyond what is stored: place in the queue, estimated start, and all reasons why they
wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.dependencies import Waits
from app.domain.estimates import Estimate
from app.domain.explain import Reason, wait_reasons
from app.domain.job import Job
from app.domain.promises import Promise
from app.domain.records import Board, Place
from app.domain.states import JobStatus
from app.operations.board import estimate_at, places_of, recent_board
from app.operations.hints import hinted
from app.operations.limits import lacking, room_for
from app.operations.readiness import verdicts_on
from app.services import Services


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with what is true of it right now. `place` and `estimate` are None where it is not in the queue;
    `promise` is that of a latest start, where it has one."""

    job: Job
    place: Place | None
    estimate: Estimate | None
    reasons: tuple[Reason, ...]
    promise: Promise | None = None


async def inspect(services: Services, jobs: Sequence[Job]) -> list[JobView]:
    """The views of these jobs, in their order. With the index away, places and estimates are None."""
    places, board = await _places(services, [j.id for j in jobs if j.status is JobStatus.QUEUED])
    with_parents = [j for j in jobs if j.status is JobStatus.SUBMITTED and j.dependencies]
    verdicts = await verdicts_on(services, with_parents)
    waits = {j.id: v for j, v in zip(with_parents, verdicts, strict=True) if isinstance(v, Waits)}
    room = await room_for(services, jobs)
    return [
        _view(services.clock.now(), job, places.get(job.id), board, waits.get(job.id), lacking(services, job, room))
        for job in jobs
    ]


async def _places(services: Services, queued: list[str]) -> tuple[dict[str, Place], Board | None]:
    async def found() -> tuple[dict[str, Place], Board | None]:
        board = await recent_board(services)
        return await places_of(services, queued, board), board

    return (await hinted("places", found()) if queued else None) or ({}, None)


def _view(
    now: datetime,
    job: Job,
    place: Place | None,
    board: Board | None,
    waits: Waits | None,
    lacking: tuple[Reason, ...],
) -> JobView:
    estimate: Estimate | None = None
    verdict: tuple[Reason, ...] = ()
    promise: Promise | None = None
    if place is not None and board is not None:
        estimate = estimate_at(board, place, now)
        verdict = board.verdicts.get(place.bucket_id, ())
        promise = next((p for p in board.promises if p.job_id == job.id), None)
    ahead = None if place is None else place.position - 1
    return JobView(job, place, estimate, wait_reasons(job, now, waits, verdict, ahead, lacking), promise)
