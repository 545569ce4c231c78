"""The checker finds each kind of fault in a history that has it, and nothing in one that has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import FEWEST_SAMPLES, broken, check
from tests.chaos.observation import Figure, Mark, NodeSample, Observation, ResourceSample

CAPACITY = {"cpu_millicores": 4_000, "memory_mib": 1_024, "gpu": 0, "storage_gib": 0}
NOTHING = dict.fromkeys(CAPACITY, 0)
RUN = {"cpu_millicores": 1_000, "memory_mib": 256, "gpu": 0, "storage_gib": 0}
LEFT = {d: CAPACITY[d] - RUN[d] for d in CAPACITY}
WAY = (
    (None, "QUEUED", "submitted", 0, 0),
    ("QUEUED", "SCHEDULED", "placed", 0, 1),
    ("SCHEDULED", "RUNNING", "started", 1, 1),
    ("RUNNING", "RETRYING", "worker_lost", 1, 1),
    ("RETRYING", "QUEUED", "retry_due", 1, 1),
    ("QUEUED", "SCHEDULED", "placed", 1, 2),
    ("SCHEDULED", "RUNNING", "started", 1, 2),
    ("RUNNING", "COMPLETED", "completed", 1, 2),
)


def a_history() -> list[dict[str, Any]]:
    names = ("from", "to", "reason", "attempt", "run_no")
    return [{"seq": n, **dict(zip(names, step, strict=True))} for n, step in enumerate(WAY, 1)]


def a_job(**changed: Any) -> dict[str, Any]:
    """One whose first worker was lost, and that its second run completed."""
    return {
        "job_id": "job_a",
        "status": "COMPLETED",
        "seq": len(WAY),
        "attempt": 1,
        "run_no": 2,
        "wait_reasons": [],
        "result": {"steps": {"command": {"run_no": 2}}},
        "history": a_history(),
        **changed,
    }


def marks(*what: tuple[int, str, float], pid: int = 7) -> list[Mark]:
    return [Mark("job_a", run_no, pid + run_no, kind, at) for run_no, kind, at in what]


WITNESSED = marks((1, "start", 1.0), (1, "tick", 1.1), (2, "start", 9.0), (2, "tick", 9.1), (2, "end", 9.2))
GOOD = Observation(
    answered=["job_a"],
    jobs={"job_a": a_job()},
    marks=WITNESSED,
    nodes=[
        NodeSample("node-1", 9.1, CAPACITY, LEFT, {"job_a-2": RUN}),
        NodeSample("node-1", 9.9, CAPACITY, CAPACITY, {}),
    ],
    heard=[{("job_a", n): to for n, (_, to, *_) in enumerate(WAY, 1)}],
    figures=[Figure("new run", 3.0, at_most=5.0)],
    rest_at=10.0,
)


def with_job(**changed: Any) -> Observation:
    return replace(GOOD, jobs={"job_a": a_job(**changed)})


def with_entry(number: int, **changed: Any) -> Observation:
    history = a_history()
    history[number - 1] |= changed
    return with_job(history=history)


def grown(kind: str, last: float) -> Observation:
    values = [100.0] * FEWEST_SAMPLES + [last] * FEWEST_SAMPLES
    return replace(GOOD, resources=[ResourceSample("api-1", kind, float(n), v) for n, v in enumerate(values)])


def ended_twice() -> Observation:
    again = {"seq": 9, "from": "RUNNING", "to": "COMPLETED", "reason": "completed", "attempt": 1, "run_no": 2}
    return with_job(history=[*a_history(), again], seq=9)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert check(GOOD) == []
    assert check(grown("memory_mib", 130.0)) == []
    assert check(with_job(status="QUEUED", wait_reasons=[{"code": "resources"}]))[0].invariant != "I1"


BAD = {
    "an answered job is gone": (replace(GOOD, answered=["job_a", "job_b"]), "I1"),
    "a job waits without a reason": (with_job(status="QUEUED"), "I1"),
    "an old run ticks after a new one began": (replace(GOOD, marks=[*WITNESSED, *marks((1, "tick", 9.15))]), "I2"),
    "a run begins twice": (replace(GOOD, marks=[*WITNESSED, *marks((2, "start", 9.15), pid=50)]), "I2"),
    "a process outlives its job": (replace(GOOD, marks=[*WITNESSED, *marks((2, "tick", 10.5))]), "I2"),
    "a job ends twice": (ended_twice(), "I3"),
    "a run is completed that never ended": (replace(GOOD, marks=WITNESSED[:-1]), "I3"),
    "a result is another run's": (with_job(result={"steps": {"command": {"run_no": 1}}}), "I3"),
    "a number is left out": (with_entry(5, seq=6), "I4"),
    "an entry does not follow": (with_entry(5, **{"from": "RUNNING"}), "I4"),
    "an edge does not exist": (with_entry(3, reason="completed"), "I4"),
    "the state is not the history's": (with_job(status="FAILED", wait_reasons=[]), "I4"),
    "more is allocated than there is": (
        replace(
            GOOD, nodes=[NodeSample("node-1", 1.0, CAPACITY, NOTHING, {str(n): RUN for n in range(5)})], rest_at=None
        ),
        "I5",
    ),
    "free and allocated do not add up": (replace(GOOD, nodes=[NodeSample("node-1", 1.0, CAPACITY, LEFT, {})]), "I5"),
    "a place is held at rest": (replace(GOOD, nodes=GOOD.nodes[:1]), "I5"),
    "an event never came": (replace(GOOD, heard=[{("job_a", 1): "QUEUED"}]), "I6"),
    "an event says another state": (replace(GOOD, heard=[{**GOOD.heard[0], ("job_a", 8): "FAILED"}]), "I6"),
    "an event is of no entry": (replace(GOOD, heard=[{**GOOD.heard[0], ("job_a", 9): "FAILED"}]), "I6"),
    "a lost worker used an attempt": (with_job(attempt=2), "I8"),
    "memory grows": (grown("memory_mib", 180.0), "I10"),
    "descriptors grow": (grown("descriptors", 180.0), "I10"),
    "connections grow": (grown("connections", 190.0), "I10"),
    "keys grow": (grown("keys", 260.0), "I10"),
    "a figure is over its limit": (replace(GOOD, figures=[Figure("new run", 6.0, at_most=5.0)]), "figure"),
}


@pytest.mark.parametrize(("seen", "invariant"), BAD.values(), ids=BAD)
def test_each_fault_is_found(seen: Observation, invariant: str) -> None:
    assert invariant in broken(check(seen))
