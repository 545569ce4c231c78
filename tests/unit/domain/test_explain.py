"""Why a job waits, as everybody is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain import explain
from app.domain.control_transitions import freeze, request_control
from app.domain.explain import wait_reasons
from app.domain.transitions import apply
from tests.unit.domain.builders import JobBuilder, a_job

SECOND = timedelta(seconds=1)


def frozen_by_ann() -> JobBuilder:
    """Ann asked for it, her node did it."""
    builder = a_job().running()
    builder.job = apply(builder.job, request_control(builder.job, "pause", builder.stamp("ann"), "lunch"))
    builder.job = apply(builder.job, freeze(builder.job, builder.stamp(), None))
    return builder


def test_a_held_job_tells_who_holds_it_and_since_when() -> None:
    builder = a_job().held()

    [reason] = wait_reasons(builder.job, builder.at + 30 * SECOND)

    assert reason.code == "held"
    assert reason.summary == "held by ann while QUEUED; resume it to go on"
    assert reason.facts == {"by": "ann", "since": f"{builder.at:%Y-%m-%dT%H:%M:%SZ}", "seconds": 30.0}


def test_a_frozen_job_tells_who_asked_for_it_not_the_node_that_did_it() -> None:
    builder = frozen_by_ann()

    [reason] = wait_reasons(builder.job, builder.at)

    assert (reason.facts["by"], reason.facts["reason"], reason.facts["node"]) == ("ann", "lunch", "node-1")
    assert reason.summary.startswith("frozen on node-1 by ann: lunch")


@pytest.mark.parametrize(("checkpoint", "want"), [("c1", "goes on from its checkpoint"), (None, "starts over")])
def test_a_released_job_tells_what_a_resume_will_do(checkpoint: str | None, want: str) -> None:
    builder = a_job().released(checkpoint)

    [reason] = wait_reasons(builder.job, builder.at)

    assert reason.summary.endswith(f"resume it to queue it again, it {want}")
    assert "node" not in reason.facts


def test_a_retry_counts_attempts_since_the_last_manual_retry() -> None:
    builder = a_job().retrying(delay=10).but(attempt=4, attempt_base=3)

    [reason] = wait_reasons(builder.job, builder.at + 4 * SECOND)

    assert (reason.code, reason.facts) == ("retry_delay", {"seconds_left": 6.0})
    assert reason.summary == "attempt 1 of 3 ended (error); the next run is queued in 6 s"


def test_draining_nodes_are_named() -> None:
    assert explain.no_workers().facts == {"nodes": 0}
    assert explain.no_workers(["n1"]).summary == "no worker takes work: n1 is draining"
    assert explain.no_workers(["n1", "n2", "n3", "n4"]).facts["draining"] == "n1, n2, n3, …"
    [one, two] = explain.draining(["n1"], {"cpu_cores": 2}), explain.draining(["n1", "n2"], {"cpu_cores": 2})
    assert (one.summary, one.code) == ("would fit on n1 only, which is draining", "resources")
    assert two.summary == "would fit on n1, n2 only, which are draining"
