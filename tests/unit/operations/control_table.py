"""What each control does to a job in each situation, as the deciding code says it: the table of `docs/controls.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.domain.control_decisions import decide_cancel, decide_pause
from app.domain.control_transitions import request_control
from app.domain.dependencies import Met
from app.domain.errors import InvalidTransition
from app.domain.job import Job
from app.domain.transitions import Change, RunEnd, Stamp, apply, finish_cancel, time_out
from app.operations.resume import decide_resume
from app.operations.retry import decide_retry
from tests.unit.domain.builders import NOW, JobBuilder, a_job

STAMP = Stamp(NOW, "ann", "op-of-the-control")
Control = Callable[[Job], Change | None]


def asked(builder: JobBuilder, action: str) -> Job:
    """The job of which that is asked and not done yet."""
    return apply(builder.job, request_control(builder.job, action, builder.stamp("ann"), None))


def taken_back(action: str) -> Job:
    """A running job of which that was asked, and is no more."""
    builder = a_job("sleep").running()
    builder.job = asked(builder, action)
    return asked(builder, "resume")


def ended(change: Callable[[Job, RunEnd, Stamp], Change]) -> Job:
    builder = a_job().running()
    return apply(builder.job, change(builder.job, RunEnd(), builder.stamp()))


def resumed() -> Job:
    builder = a_job().queued().held()
    change = decide_resume(builder.job, builder.stamp("ann"), None, Met())
    assert change is not None
    return apply(builder.job, change)


SITUATIONS: Mapping[str, Callable[[], Job]] = {
    "SUBMITTED": lambda: a_job(eligible=False).job,
    "QUEUED": lambda: a_job().queued().job,
    "QUEUED, resumed before": resumed,
    "SCHEDULED": lambda: a_job().scheduled().job,
    "RUNNING": lambda: a_job("sleep").running().job,
    "RUNNING inline": lambda: a_job(executor="inline").running().job,
    "RUNNING, pause asked": lambda: asked(a_job("sleep").running(), "pause"),
    "RUNNING, release asked": lambda: asked(a_job("sleep").running(), "release"),
    "RUNNING, pause taken back": lambda: taken_back("pause"),
    "RUNNING, cancel asked": lambda: asked(a_job("sleep").running(), "cancel"),
    "PAUSED, held": lambda: a_job().queued().held().job,
    "PAUSED, frozen": lambda: a_job("sleep").frozen().job,
    "PAUSED, frozen, resume asked": lambda: asked(a_job("sleep").frozen(), "resume"),
    "PAUSED, frozen, release asked": lambda: asked(a_job("sleep").frozen(), "release"),
    "PAUSED, frozen, cancel asked": lambda: asked(a_job("sleep").frozen(), "cancel"),
    "PAUSED, released": lambda: a_job("sleep").released().job,
    "RETRYING": lambda: a_job().retrying().job,
    "COMPLETED": lambda: a_job().completed().job,
    "FAILED": lambda: a_job().failed().job,
    "TIMEOUT": lambda: ended(time_out),
    "CANCELLED": lambda: ended(lambda job, end, stamp: finish_cancel(job, end, stamp, None)),
}
CONTROLS: Mapping[str, Control] = {
    "cancel": lambda job: decide_cancel(job, STAMP, None),
    "pause": lambda job: decide_pause(job, STAMP, None, release=False),
    "pause, `release`": lambda job: decide_pause(job, STAMP, None, release=True),
    "resume": lambda job: decide_resume(job, STAMP, None, Met()),
    "retry": lambda job: decide_retry(job, STAMP, None, Met()),
}


def outcome(job: Job, control: Control) -> str:
    """What the control does, in a word or two."""
    try:
        change = control(job)
    except InvalidTransition:
        return "409"
    if change is None:
        return "stays"
    if change.entry.reason == "control_requested":
        asked = change.fields["control"]
        return f"asks `{asked.action}`" if asked else "takes it back"
    return f"→ {change.entry.to}"


def table() -> str:
    """The table as the document shows it."""
    head = f"| a job that is | {' | '.join(CONTROLS)} |\n|---|{'---|' * len(CONTROLS)}\n"
    rows = [
        f"| {name} | {' | '.join(outcome(make(), control) for control in CONTROLS.values())} |"
        for name, make in SITUATIONS.items()
    ]
    return head + "\n".join(rows) + "\n"
