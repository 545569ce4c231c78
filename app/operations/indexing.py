"""Have the index say of jobs what is true of them, whatever else is changed at the same time.

Effects of two changes of one job may reach the index in the other order. So whoever has written looks at the job again,
and writes again where it is not as it was: the last to write has written what is true.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from app.domain.queueing import Ticket, ticket_of
from app.domain.states import JobStatus
from app.services import Services

log = structlog.get_logger()
ROUNDS = 8


async def index_waiting(services: Services, tickets: Iterable[Ticket]) -> None:
    """Enqueue these, and take out those that left the queue meanwhile."""
    written: dict[str, Ticket | None] = {ticket.job_id: ticket for ticket in tickets}
    for _ in range(ROUNDS):
        if not written:
            return
        if waiting := [ticket for ticket in written.values() if ticket is not None]:
            await services.queue.enqueue(waiting)
        if gone := [job_id for job_id, ticket in written.items() if ticket is None]:
            await services.queue.dequeue(gone)
        true = await _tickets(services, written)
        written = {job_id: true[job_id] for job_id, ticket in written.items() if true[job_id] != ticket}
    log.warning("index.kept_changing", jobs=len(written))


async def _tickets(services: Services, job_ids: Iterable[str]) -> dict[str, Ticket | None]:
    """The ticket of each that is QUEUED, None of the others."""
    ids = list(job_ids)
    found = await services.jobs.get_many(ids)
    queued = {job.id: ticket_of(job) for job in found.values() if job.status is JobStatus.QUEUED}
    return {job_id: queued.get(job_id) for job_id in ids}
