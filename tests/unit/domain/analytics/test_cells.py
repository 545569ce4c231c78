"""Sums over runs: exact, the same in whatever order and parts they are added, and bounded."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.analytics import figures
from app.domain.analytics.cells import OTHER, Cell, Kind, Seen, bounded, cells_of, merged, most_frequent, sum_of
from app.domain.analytics.figures import grouped, of_tenant, success_rate, uses, waits_of
from app.domain.priority import Priority
from app.domain.records import RunSummary
from app.domain.states import JobStatus
from tests.support.clock import NOON
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes

RUNS = st.lists(
    st.builds(
        lambda tenant, template, seconds, status, later: a_run(
            NOON + minutes(later), tenant=tenant, template=template, run_seconds=float(seconds), ended_as=status
        ),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["t", "u", "v"]),
        st.integers(0, 5_000),
        st.sampled_from([None, *JobStatus]),
        st.integers(0, 59),
    ),
    max_size=40,
)


def whole(cells: dict[Kind, Cell]) -> dict[Kind, object]:
    return {kind: asdict(cell) for kind, cell in cells.items()}


def test_a_run_is_counted_with_all_that_it_says() -> None:
    [(kind, cell)] = cells_of([a_run(attempt=2)]).items()

    assert kind == Kind("default", "high", "train", "svm")
    assert (cell.runs, cell.retried, cell.wait_seconds, cell.run_seconds) == (1, 1, 10.0, 100.0)
    assert (cell.outcomes, cell.ended, cell.completion_seconds) == ({"completed": 1}, {"COMPLETED": 1}, 110.0)
    assert cell.asked == [200.0, 102_400.0, 100.0, 400.0]
    assert (cell.cpu_used, cell.cpu_asked, cell.memory_used, cell.memory_asked) == (50.0, 200.0, 51_200.0, 102_400.0)
    assert cell.failures == {}


def test_what_was_not_measured_counts_as_neither_used_nor_idle() -> None:
    found = uses(sum_of(cells_of([a_run(), a_run(cpu_seconds=None, peak_memory_mib=None)]).values()))

    assert (found["cpu_cores"].share, found["memory_gb"].share) == (0.25, 0.5)
    assert found["cpu_cores"].allocated == pytest.approx(400 / 3_600)
    assert found["memory_gb"].used == pytest.approx(50 / 3_600)
    assert (found["gpu_count"].used, found["gpu_count"].share) == (None, None)


def test_a_run_after_which_the_job_goes_on_ends_none() -> None:
    [cell] = cells_of([a_failed_run(ended_as=None, outcome="error")]).values()

    assert (cell.ended, cell.retried, success_rate(cell)) == ({}, 0, None)
    assert [seen.times for seen in cell.failures.values()] == [1]


def test_cancelled_jobs_say_nothing_of_success_and_retries() -> None:
    runs = [a_run(), a_failed_run(), a_run(ended_as=JobStatus.TIMEOUT), a_run(ended_as=JobStatus.CANCELLED, attempt=3)]
    total = sum_of(cells_of(runs).values())

    assert figures.decided(total) == 3
    assert (success_rate(total), figures.retry_rate(total)) == (1 / 3, 0.0)


def test_failures_are_counted_with_their_newest_run() -> None:
    early, late, other = a_failed_run(), a_failed_run(NOON + minutes(5)), a_failed_run(message="it burst")
    total = sum_of(cells_of([late, early, other]).values())

    assert early.fingerprint is not None and other.fingerprint is not None
    assert total.failures[early.fingerprint] == Seen(2, late.finished_at, f"{late.job_id}-1")
    assert total.failures[other.fingerprint].times == 1


@given(RUNS, st.integers(0, 40))
def test_parts_add_up_to_the_whole(runs: list[RunSummary], cut: int) -> None:
    parts = [cells_of(runs[:cut]), cells_of(runs[cut:])]
    before = deepcopy(parts)
    together = merged(pair for part in parts for pair in part.items())

    assert whole(together) == whole(cells_of(runs))
    assert parts == before, "what is added stays as it is"


@given(RUNS, st.integers(1, 4))
def test_bounding_loses_no_run(runs: list[RunSummary], most: int) -> None:
    total = sum_of(cells_of(runs).values())
    found = bounded(cells_of(runs), most)

    assert len(found) <= most + len(Priority)
    assert asdict(replace(sum_of(found.values()), failures={})) == asdict(replace(total, failures={}))


def test_the_most_frequent_kinds_are_told_apart_and_tenants_before_templates() -> None:
    runs = [a_run(template=f"t{n}", tenant=tenant) for tenant in ("a", "b") for n in range(5) for _ in range(10 - n)]
    found = bounded(cells_of(runs), 5)

    assert Kind("a", "high", "t0", "svm") in found and Kind("a", "high", OTHER, None) in found
    assert set(bounded(cells_of(runs), 1)) == {Kind("b", "high", OTHER, None), Kind(OTHER, "high", OTHER, None)}


def test_rare_failures_become_one() -> None:
    failures = {f"{n:02}": Seen(n, NOON, "job_a-1") for n in range(1, 31)} | {OTHER: Seen(5, NOON, "job_b-1")}
    found = most_frequent(failures, 20)

    assert len(found) == 21 and "30" in found and "10" not in found
    assert found[OTHER].times == 5 + sum(range(1, 11))
    assert most_frequent(found, 20) == found


def test_groups_are_ordered_and_bounded() -> None:
    runs = [a_run(algorithm=f"a{n}") for n in range(4) for _ in range(n + 1)] + [a_run(algorithm=None)] * 9
    found = grouped(cells_of(runs), lambda kind: kind.algorithm, 2)

    assert [(name, cell.runs) for name, cell in found] == [("a3", 4), ("a2", 3), (OTHER, 3)]


def test_a_tenant_is_looked_at_alone() -> None:
    pairs = list(cells_of([a_run(tenant="a"), a_run(tenant="b"), a_run(tenant="b")]).items())

    assert [cell.runs for cell in of_tenant(pairs, "b").values()] == [2]
    assert sum(cell.runs for cell in of_tenant(pairs, None).values()) == 3
    assert of_tenant(pairs, "c") == {}


def test_percentiles_are_near_and_the_mean_is_exact() -> None:
    total = sum_of(cells_of(a_run(wait_seconds=float(n)) for n in range(1, 101)).values())
    found = waits_of(total)

    assert found.mean == 50.5
    assert found.p50 == pytest.approx(50, rel=0.05)
    assert found.p90 == pytest.approx(90, rel=0.05)
    assert found.p99 == pytest.approx(99, rel=0.05)
    assert waits_of(Cell()) == figures.Percentiles(None, None, None, None)
