"""The invariants of the service, as functions from what was seen to what is wrong with it.

One function an invariant, none knows which fault was made: `check` holds for every scenario. The names are those of
`docs/guarantees.md`. I7 and I9 belong to tests that run without faults.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from app.domain.states import TERMINAL, Edge, JobStatus, is_allowed
from tests.chaos.observation import Mark, Observation, ResourceSample

FAILURES_OF_USER_CODE = frozenset({"error", "timeout", "out_of_memory", "stalled"})
AT_REST_SECONDS = 0.25
"""A mark so long after rest was seen is one of a process that outlived its job."""
MAY_GROW: Mapping[str, tuple[float, float]] = {
    "memory_mib": (0.25, 48.0),
    "descriptors": (0.25, 48.0),
    "connections": (0.5, 80.0),
    "keys": (0.5, 100.0),
}
"""By kind: the part of its beginning, and the amount, by which a value may grow over a soak. Both must be exceeded.
Connections are pooled, 32 to a process at most, and a pool that a fault made full stays so."""
FEWEST_SAMPLES = 60
"""Of two minutes: what is shorter than that shows the load of a moment."""


class Violation(NamedTuple):
    """An invariant that did not hold, of what, and how."""

    invariant: str
    subject: str
    what: str


Invariant = Callable[[Observation], Iterator[Violation]]


def check(seen: Observation) -> list[Violation]:
    """Everything that is wrong."""
    return [violation for invariant in INVARIANTS for violation in invariant(seen)]


def nothing_is_lost(seen: Observation) -> Iterator[Violation]:
    """I1: every answered id is terminal, or says what it waits for."""
    for job_id in seen.answered:
        job = seen.jobs.get(job_id)
        if job is None:
            yield Violation("I1", job_id, "was answered and is unknown")
        elif job["status"] not in TERMINAL and not job["wait_reasons"]:
            yield Violation("I1", job_id, f"is {job['status']} and says no reason")


def no_two_runs_at_once(seen: Observation) -> Iterator[Violation]:
    """I2: once a later run of a job has begun, no earlier one executes; no run begins twice; none outlives its job."""
    newest: dict[str, Mark] = {}
    started: set[tuple[str, int]] = set()
    overlapping: set[tuple[str, int]] = set()
    for mark in sorted(seen.marks, key=lambda m: m.at):
        key = (mark.job_id, mark.run_no)
        last = newest.get(mark.job_id)
        if last is not None and mark.run_no < last.run_no and key not in overlapping:
            overlapping.add(key)
            yield Violation("I2", mark.job_id, f"run {mark.run_no} executed after run {last.run_no} had begun")
        if mark.what == "start" and key in started:
            yield Violation("I2", mark.job_id, f"run {mark.run_no} began twice")
        started |= {key} if mark.what == "start" else set()
        newest[mark.job_id] = mark if last is None or mark.run_no >= last.run_no else last
    yield from _outlived(seen)


def _outlived(seen: Observation) -> Iterator[Violation]:
    if seen.rest_at is None:
        return
    late = {(m.job_id, m.pid): m for m in seen.marks if m.at > seen.rest_at + AT_REST_SECONDS}
    for (job_id, pid), mark in late.items():
        yield Violation("I2", job_id, f"process {pid} of run {mark.run_no} outlived its job")


def one_commit_a_job(seen: Observation) -> Iterator[Violation]:
    """I3: a job ends once (and once more for each manual retry), and its result is that of the run that ended it."""
    ended_runs = {(m.job_id, m.run_no) for m in seen.marks if m.what == "end"}
    witnessed = {m.job_id for m in seen.marks}
    for job_id, job in seen.jobs.items():
        ends = [e for e in job["history"] if e["to"] in TERMINAL and e["from"] != e["to"]]
        again = [e for e in job["history"] if e["from"] in TERMINAL and e["to"] not in TERMINAL]
        if len(ends) > 1 + len(again):
            yield Violation("I3", job_id, f"ended {len(ends)} times: {[e['to'] for e in ends]}")
        if job["status"] == "COMPLETED" and job_id in witnessed:
            run_no = ends[-1]["run_no"] if ends else None
            if (job_id, run_no) not in ended_runs:
                yield Violation("I3", job_id, f"run {run_no} is said to have completed, and never came to its end")
            yield from _foreign_result(job, run_no)


def _foreign_result(job: Mapping[str, Any], run_no: int | None) -> Iterator[Violation]:
    outputs = ((job["result"] or {}).get("steps") or {}).get("command") or {}
    if outputs.get("run_no") != run_no:
        yield Violation("I3", job["job_id"], f"run {run_no} completed with the result of run {outputs.get('run_no')}")


def history_is_whole(seen: Observation) -> Iterator[Violation]:
    """I4: numbered 1, 2, 3, … without gaps; each entry begins where the one before ended; each edge exists."""
    for job_id, job in seen.jobs.items():
        before: str | None = None
        for number, entry in enumerate(job["history"], 1):
            if entry["seq"] != number:
                yield Violation("I4", job_id, f"entry {number} is numbered {entry['seq']}")
            if entry["from"] != before:
                yield Violation("I4", job_id, f"entry {number} goes from {entry['from']} where the job was {before}")
            if not _is_edge(entry):
                yield Violation("I4", job_id, f"no such edge: {entry['from']} -{entry['reason']}-> {entry['to']}")
            before = entry["to"]
        if before != job["status"] or job["seq"] != len(job["history"]):
            yield Violation("I4", job_id, f"is {job['status']} at {job['seq']}, its history says otherwise")


def _is_edge(entry: Mapping[str, Any]) -> bool:
    source = None if entry["from"] is None else JobStatus(entry["from"])
    return is_allowed(Edge(source, entry["reason"], JobStatus(entry["to"])))


def no_room_is_given_twice_or_lost(seen: Observation) -> Iterator[Violation]:
    """I5: on every node, always: allocated + free = capacity and nothing negative; at rest nothing is allocated."""
    last = {}
    for sample in seen.nodes:
        last[sample.node_id] = sample
        for dimension, capacity in sample.capacity.items():
            held = sum(vector[dimension] for vector in sample.allocations.values())
            free = sample.free[dimension]
            if held > capacity or free < 0 or held + free != capacity:
                yield Violation("I5", sample.node_id, f"{dimension}: {held} held and {free} free of {capacity}")
    if seen.rest_at is not None:
        for node_id, sample in last.items():
            if sample.allocations:
                yield Violation("I5", node_id, f"leaked at rest: {sorted(sample.allocations)}")


def every_event_arrives(seen: Observation) -> Iterator[Violation]:
    """I6: each subscriber, across its reconnects, has heard every history entry, and nothing that is in no history."""
    told = {(job_id, e["seq"]): e["to"] for job_id, job in seen.jobs.items() for e in job["history"]}
    for number, heard in enumerate(seen.heard):
        for key, to in told.items():
            if key not in heard:
                yield Violation("I6", key[0], f"subscriber {number} never heard of entry {key[1]}")
            elif heard[key] != to:
                yield Violation("I6", key[0], f"subscriber {number} heard {heard[key]} for entry {key[1]}, it is {to}")
        for key in heard.keys() - told.keys():
            if key[0] in seen.jobs:
                yield Violation("I6", key[0], f"subscriber {number} heard of entry {key[1]}, which does not exist")


def losses_use_no_attempt(seen: Observation) -> Iterator[Violation]:
    """I8: `attempt` is 1 + the failures of user code that another attempt followed. Jobs retried by hand count anew."""
    for job_id, job in seen.jobs.items():
        history = job["history"]
        if any(e["from"] in TERMINAL and e["to"] not in TERMINAL for e in history):
            continue
        begun = any(e["to"] == "RUNNING" for e in history)
        failures = sum(e["to"] == "RETRYING" and e["reason"] in FAILURES_OF_USER_CODE for e in history)
        if job["attempt"] != (1 + failures if begun else 0):
            yield Violation("I8", job_id, f"is at attempt {job['attempt']} after {failures} failures of its own")


def nothing_grows(seen: Observation) -> Iterator[Violation]:
    """I10: memory, descriptors, connections and keys at the end of a soak are what they were at its beginning."""
    series: dict[tuple[str, str], list[ResourceSample]] = defaultdict(list)
    for sample in seen.resources:
        series[sample.part, sample.kind].append(sample)
    for (part, kind), samples in series.items():
        if len(samples) < FEWEST_SAMPLES:
            continue
        first, last = growth(samples)
        share, amount = MAY_GROW[kind]
        if last - first > max(amount, share * first):
            yield Violation("I10", part, f"{kind} grew from {first:.0f} to {last:.0f}")


def growth(samples: Sequence[ResourceSample]) -> tuple[float, float]:
    """The medians of the second and of the last quarter: what is loaded at the start is no growth."""
    values = [s.value for s in sorted(samples, key=lambda s: s.at)]
    quarter = max(1, len(values) // 4)
    return median(values[quarter : 2 * quarter]), median(values[-quarter:])


def figures_hold(seen: Observation) -> Iterator[Violation]:
    """What was measured stays within its limit."""
    for figure in seen.figures:
        if figure.at_most is not None and figure.value > figure.at_most:
            limit = f"{figure.at_most:g} {figure.unit}"
            yield Violation("figure", figure.name, f"{figure.value:.2f} {figure.unit}, at most {limit}")


INVARIANTS: tuple[Invariant, ...] = (
    nothing_is_lost,
    no_two_runs_at_once,
    one_commit_a_job,
    history_is_whole,
    no_room_is_given_twice_or_lost,
    every_event_arrives,
    losses_use_no_attempt,
    nothing_grows,
    figures_hold,
)


def broken(violations: Iterable[Violation]) -> set[str]:
    """The names of the invariants that did not hold."""
    return {violation.invariant for violation in violations}
