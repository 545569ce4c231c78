"""A run that is gone with its worker: what its user had asked of it is honoured."""

from __future__ import annotations

import pytest

from app.domain.control_transitions import request_control
from app.domain.losses import lose_run
from app.domain.transitions import RunEnd, apply
from tests.unit.domain.builders import JobBuilder, a_job


def asked(builder: JobBuilder, action: str | None) -> JobBuilder:
    if action is not None:
        builder.job = apply(builder.job, request_control(builder.job, action, builder.stamp("ann"), "because"))
    return builder


@pytest.mark.parametrize("state", ["running", "frozen"])
@pytest.mark.parametrize(
    ("action", "want"),
    [
        (None, ("RETRYING", "worker_lost")),
        ("resume", ("RETRYING", "worker_lost")),
        ("cancel", ("CANCELLED", "cancelled")),
        ("pause", ("PAUSED", "released")),
        ("release", ("PAUSED", "released")),
    ],
)
def test_what_was_asked_of_a_lost_run(state: str, action: str | None, want: tuple[str, str]) -> None:
    started: JobBuilder = getattr(a_job(), state)()
    job = asked(started, action).job
    change = lose_run(job, "gone", started.stamp(), crashed=False)
    assert change is not None
    after = apply(job, change)
    assert (after.status, after.history[-1].reason) == want
    assert not after.on_node
    assert after.control is None
    assert len(after.attempts) == 1


@pytest.mark.parametrize("builder", [a_job(), a_job().scheduled(), a_job().held(), a_job().completed()])
def test_a_job_without_a_run_has_none_to_lose(builder: JobBuilder) -> None:
    assert lose_run(builder.job, "gone", builder.stamp(), crashed=True) is None


def test_a_policy_without_worker_lost_ends_at_the_first_loss() -> None:
    builder = a_job(retry_policy={"retry_on": ["error"]}).running()
    change = lose_run(builder.job, "gone", builder.stamp(), crashed=False)
    assert change is not None
    assert (change.entry.to, change.entry.reason) == ("FAILED", "worker_lost")
    assert change.fields["error"].message == "gone"


def test_what_is_known_of_the_run_is_kept() -> None:
    builder = a_job().running()
    end = RunEnd(peak_memory_mib=5.0, cpu_seconds=2.0, checkpoint="c")
    change = lose_run(builder.job, "gone", builder.stamp(), crashed=True, end=end)
    assert change is not None
    after = apply(builder.job, change)
    assert (after.checkpoint, after.attempts[0].peak_memory_mib, after.infra_losses) == ("c", 5.0, 1)
