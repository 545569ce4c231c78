"""Failures that are alike are counted together, others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.failures import MOST_KEPT, FailurePattern, normalised, pattern_of, with_fingerprint
from app.domain.job import JobError
from app.domain.losses import lose_run
from app.domain.transitions import Stamp, apply, fail_dependency
from tests.unit.domain.builders import NOW, a_job

JOB = "job_06a1b2c3d4e5f6g7h8i9j0k1l2"
OTHER = "job_06zz".replace("z", "t") + "b2c3d4e5f6g7h8i9j0k1l2"
ALIKE = {
    "a number": ("row 17 is bad", "row 4 is bad"),
    "a fraction": ("loss is 0.25", "loss is 1e-9"),
    "a sign": ("got -5", "got 5"),
    "an address": ("object at 0x7f00aa", "object at 0x12ff00"),
    "a folder": ("no file /a/b/data.csv", "no file /tmp/x1/data.csv"),
    "a job": (f"no model in {JOB}", f"no model in {OTHER}"),
    "a UUID": ("run 0e3a1c5e-96f0-4a6c-8f0b-0a1b2c3d4e5f", "run 7e3a1c5e-16f0-4a6c-8f0b-ffffffffffff"),
    "a digest": ("at commit 3f2a9d0", "at commit a1b2c3d4e5"),
    "a list": ("columns [1, 2, 3] are empty", "columns [7] are empty"),
    "a time": ("since 2026-01-01T12:00:00Z", "since 2026-02-03T01:02:03Z"),
    "spaces": ("it  broke\n", "it broke"),
}
UNLIKE = {
    "a column": ("no column age", "no column name"),
    "a word like a digest": ("it was defaced", "it was effaced"),
    "a file": ("no file /data/a.csv", "no file /data/b.csv"),
}
SAMPLE = JobError("error", "it broke", "train", exception_type="ValueError", frame="fit.py:fit")


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE)
def test_what_differs_from_run_to_run_is_left_out(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), UNLIKE.values(), ids=UNLIKE)
def test_what_tells_faults_apart_stays(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "other",
    [
        replace(SAMPLE, message="it burst"),
        replace(SAMPLE, step="store"),
        replace(SAMPLE, exception_type="KeyError"),
        replace(SAMPLE, frame="fit.py:load"),
    ],
)
def test_each_of_the_four_parts_tells_failures_apart(other: JobError) -> None:
    assert pattern_of(other).fingerprint != pattern_of(SAMPLE).fingerprint


def test_what_a_run_says_beside_does_not() -> None:
    other = replace(SAMPLE, log_tail=("a line",), exit_code=1, signal=9)
    assert pattern_of(other).fingerprint == pattern_of(SAMPLE).fingerprint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SAMPLE, "ValueError"),
        (JobError("error", "", signal=11), "signal 11"),
        (JobError("permanent", "", exit_code=78), "exit 78"),
        (JobError("error", "", exit_code=3, exception_type="CommandFailed"), "exit 3"),
        (JobError("error", "", signal=6, exception_type="CommandFailed"), "signal 6"),
        (JobError("error", ""), "error"),
        (JobError("out_of_memory", "", signal=9), "out_of_memory"),
        (JobError("worker_lost", ""), "worker_lost"),
    ],
)
def test_the_kind_says_most(error: JobError, kind: str) -> None:
    assert pattern_of(error).kind == kind


def test_every_failure_of_a_job_has_a_fingerprint() -> None:
    stamp = Stamp(NOW, "system", "x1")
    child = a_job(eligible=False).job
    failed = apply(child, fail_dependency(child, JOB, stamp)).error
    assert failed is not None and failed.fingerprint == with_fingerprint(failed).fingerprint
    running = a_job().running().job
    change = lose_run(running, "the node's lease ran out", stamp, crashed=False)
    assert change is not None
    lost = apply(running, change).error
    assert lost is not None and lost.fingerprint


@given(st.text(max_size=3_000))
def test_any_message_becomes_one_short_line_that_stays_so(message: str) -> None:
    found = normalised(message)
    assert len(found) <= MOST_KEPT and "\n" not in found
    assert len(FailurePattern("x", None, found).fingerprint) == 16


@pytest.mark.parametrize("message", ["/a" * 50_000, "1" * 100_000, "# , " * 30_000, "a_" * 50_000, "-" * 100_000])
def test_a_hostile_message_is_looked_at_no_further_than_needed(message: str) -> None:
    assert len(normalised(message)) <= MOST_KEPT
