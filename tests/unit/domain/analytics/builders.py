"""Runs to sum up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from app.domain.failures import FailurePattern
from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.states import JobStatus
from tests.contract.stores.test_runs import RUN
from tests.support.clock import NOON

_numbers = count(1)
BASE = replace(
    RUN,
    template="train",
    algorithm="svm",
    asked=Vector(2_000, 1_024, 1, 4),
    cpu_seconds=50.0,
    peak_memory_mib=512.0,
    wait_seconds=10.0,
    run_seconds=100.0,
    ended_as=JobStatus.COMPLETED,
    age_seconds=110.0,
)


def a_run(at: datetime = NOON, **changes: Any) -> RunSummary:
    """One that completed: 100 s on 2 cores and 1 GB, of which it used a quarter and a half."""
    return replace(BASE, **{"job_id": f"job_{next(_numbers)}", "finished_at": at, **changes})


def a_failed_run(at: datetime = NOON, message: str = "it broke", **changes: Any) -> RunSummary:
    """One that ended its job FAILED."""
    failure = FailurePattern("ValueError", "train", message, "fit.py:fit")
    ended = {"outcome": "error", "ended_as": JobStatus.FAILED, "failure": failure, "fingerprint": failure.fingerprint}
    return a_run(at, **{**ended, **changes})


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)
