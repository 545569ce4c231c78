"""Users' changes of the order in which jobs are considered: their class, and their place in it. The state stays."""

from __future__ import annotations

from app.domain.job import Job
from app.domain.priority import Priority, most_urgent
from app.domain.transitions import Change, Stamp, make_change


def change_priority(
    job: Job, priority: Priority, lent: Priority | None, stamp: Stamp, detail: str | None
) -> Change | None:
    """The class that is asked for, from now on; the order key stays, a place given by hand does not. `lent`: the most
    urgent class of what waits for the job. None when nothing would change."""
    effective = effective_class(priority, lent)
    if (job.priority, job.effective_priority) == (priority, effective):
        return None
    pin = job.pin if effective is job.effective_priority else None
    fields = {"priority": priority, "effective_priority": effective, "pin": pin}
    return make_change(job, job.status, "priority_changed", stamp, detail, **fields)


def lend_priority(job: Job, lent: Priority | None, stamp: Stamp) -> Change | None:
    """The effective class that a job has through those that wait for it; None when it has it already."""
    effective = effective_class(job.priority, lent)
    if effective is job.effective_priority:
        return None
    whose = f"{effective} is lent by a job that waits for it" if effective is not job.priority else "its own again"
    return make_change(job, job.status, "priority_changed", stamp, whose, effective_priority=effective, pin=None)


def effective_class(own: Priority, lent: Priority | None) -> Priority:
    """Priority inheritance (Lampson and Redell 1980; Sha, Rajkumar, Lehoczky 1990)."""
    return own if lent is None else most_urgent((own, lent))


def move(job: Job, key: float, pin: int, position: int, stamp: Stamp, detail: str | None) -> Change:
    """QUEUED, and it stays so, at another place of its class: the key and band that make it stand at `position`. Raises
    InvalidTransition for one that is not queued."""
    return make_change(job, job.status, "reordered", stamp, detail, order_key=key, pin=pin, moved_to=position)
