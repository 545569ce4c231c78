"""A run summary as a document and back. `_id` is "{job}-{run}", so a second write of a run is none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import inf, isfinite
from typing import Any

from app.domain.analytics.needs import Need
from app.domain.failures import FailurePattern
from app.domain.ids import run_key
from app.domain.priority import Priority
from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.sizing.features import Features
from app.domain.sizing.measures import Measured
from app.domain.sizing.residuals import PastRun
from app.domain.states import JobStatus
from app.storage.amounts import vector_document, vector_from
from app.storage.mongo import Document

COMPLETED, KILLED = "completed", "out_of_memory"
"""Outcomes of a run that ended well, and of one that was ended for want of memory."""
_PLAIN = (
    "job_id", "run_no", "attempt", "tenant", "template", "template_version", "algorithm", "dataset", "node_id",
    "peak_memory_mib", "cpu_seconds", "wait_seconds", "run_seconds", "outcome", "fingerprint", "finished_at",
)  # fmt: skip
PAST = dict.fromkeys(
    ("outcome", "finished_at", "run_seconds", "asked", "peak_memory_mib", "cpu_seconds", "features"), 1
)
"""What is read of a past run: no name of a tenant or a data set."""
NEED = dict.fromkeys(
    ("tenant", "template", "algorithm", "dataset", "asked.memory_mib", "peak_memory_mib", "outcome", "sized"), 1
)
"""What is read of a summary for `need_of`."""
MEASURED = {"peak_memory_mib": {"$gt": 0}}
"""Runs whose memory was measured."""


def summary_document(run: RunSummary) -> Document:
    """The whole document."""
    failure = run.failure
    return {
        "_id": run_key(run.job_id, run.run_no),
        **{name: getattr(run, name) for name in _PLAIN},
        "priority": run.priority.value,
        "asked": vector_document(run.asked),
        "ended_as": None if run.ended_as is None else run.ended_as.value,
        "age_seconds": run.age_seconds,
        "failure": None if failure is None else _pattern_document(failure),
        "steps": [list(step) for step in run.steps],
        "features": None if run.features is None else run.features.parts(),
        "sized": run.sized,
    }


def _pattern_document(pattern: FailurePattern) -> Document:
    return {"kind": pattern.kind, "step": pattern.step, "message": pattern.message, "frame": pattern.frame}


def summary_from(d: Mapping[str, Any]) -> RunSummary:
    """The summary of a document; of one that was stored before a field came, what it is without. Raises for values
    that cannot be added up."""
    _check(d)
    ended, failure = d.get("ended_as"), d.get("failure")
    return RunSummary(
        **{name: d[name] for name in _PLAIN},
        priority=Priority(d["priority"]),
        asked=vector_from(d["asked"]),
        ended_as=None if ended is None else JobStatus(ended),
        age_seconds=d.get("age_seconds", 0.0),
        failure=None if failure is None else FailurePattern(**failure),
        steps=tuple((name, seconds) for name, seconds in d.get("steps", ())),
        features=_features(d),
        sized=d.get("sized"),
    )


def _check(d: Mapping[str, Any]) -> None:
    numbers = [d["wait_seconds"], d["run_seconds"], d.get("age_seconds", 0.0), d["attempt"], d["run_no"]]
    numbers += [number for number in (d["cpu_seconds"], d["peak_memory_mib"]) if number is not None]
    numbers += [*d["asked"].values(), *(seconds for _, seconds in d.get("steps", ()))]
    if not isfinite(sum(numbers)):
        raise ValueError("a number is not finite")
    texts = (d["job_id"], d["tenant"], d["template"], d["outcome"], d["algorithm"] or "", d["fingerprint"] or "")
    if not all(isinstance(text, str) for text in texts) or not isinstance(d["finished_at"], datetime):
        raise TypeError("a text or the time is none")


def past_run(d: Mapping[str, Any]) -> PastRun:
    """What a run tells of durations and needs. Raises for a document of which nothing can be counted."""
    if not isinstance(d["finished_at"], datetime):
        raise TypeError(f"finished_at is {d['finished_at']!r:.40}")
    asked = vector_from(d["asked"])
    return PastRun(
        outcome=d["outcome"],
        at=d["finished_at"],
        seconds=_amount(d["run_seconds"]),
        asked=Vector(*(round(_amount(part)) for part in asked.parts())),
        peak_mib=None if d["peak_memory_mib"] is None else _amount(d["peak_memory_mib"]),
        cpu_seconds=None if d["cpu_seconds"] is None else _amount(d["cpu_seconds"]),
        features=_features(d),
        dataset=d.get("dataset"),
    )


def _amount(value: Any) -> float:
    if not 0 <= value < inf:
        raise ValueError(f"not an amount: {value!r:.40}")
    return float(value)


def _features(d: Mapping[str, Any]) -> Features | None:
    """One that was stored before there were features has none."""
    features = d.get("features")
    return None if features is None else Features.from_parts(features)


def need_of(d: Mapping[str, Any]) -> Need:
    """What a run tells of memory. It must have been measured."""
    kin = (d["tenant"], d["template"], d["algorithm"], d["dataset"])
    measured = Measured(float(d["asked"]["memory_mib"]), float(d["peak_memory_mib"]), d["outcome"] == KILLED)
    return Need(kin, measured, d.get("sized"))
