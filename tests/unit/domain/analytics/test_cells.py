"""Sums over runs: exact, the same in whatever order and parts they are added, and bounded."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.analytics import figures
from app.domain.analytics.breakdown import EVERYONE, MOST_NAMES, PARTS, Breakdown, most_used, sum_up
from app.domain.analytics.cells import Cell, sum_of
from app.domain.analytics.failure_counts import OTHER, Seen, most_frequent
from app.domain.analytics.figures import success_rate, uses, waits_of
from app.domain.records import RunSummary
from app.domain.states import JobStatus
from tests.support.breakdowns import breakdowns_of
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
    )
    | st.builds(lambda later: a_failed_run(NOON + minutes(later), tenant="b", algorithm=None), st.integers(0, 59)),
    max_size=40,
)


def everyone(runs: Any) -> Breakdown:
    return breakdowns_of(runs).get(EVERYONE, Breakdown())


def total(*runs: RunSummary) -> Cell:
    return everyone(runs).total


def test_a_run_is_counted_with_all_that_it_says() -> None:
    cell = total(a_run(attempt=2))

    assert (cell.runs, cell.failed, cell.retried, cell.wait_seconds, cell.run_seconds) == (1, 0, 1, 10.0, 100.0)
    assert (cell.outcomes, cell.ended, cell.completion_seconds) == ({"completed": 1}, {"COMPLETED": 1}, 110.0)
    assert cell.asked == [200.0, 102_400.0, 100.0, 400.0]
    assert (cell.cpu_used, cell.cpu_asked, cell.memory_used, cell.memory_asked) == (50.0, 200.0, 51_200.0, 102_400.0)


def test_what_was_not_measured_counts_as_neither_used_nor_idle() -> None:
    found = uses(total(a_run(), a_run(cpu_seconds=None, peak_memory_mib=None)))

    assert (found["cpu_cores"].share, found["memory_gb"].share) == (0.25, 0.5)
    assert found["cpu_cores"].allocated == pytest.approx(400 / 3_600)
    assert found["memory_gb"].used == pytest.approx(50 / 3_600)
    assert (found["gpu_count"].used, found["gpu_count"].share) == (None, None)


def test_a_run_after_which_the_job_goes_on_ends_none() -> None:
    found = everyone([a_failed_run(ended_as=None)])

    assert (found.total.ended, found.total.retried, success_rate(found.total)) == ({}, 0, None)
    assert (found.total.failed, [seen.times for seen in found.failures.values()]) == (1, [1])


def test_cancelled_jobs_say_nothing_of_success_and_retries() -> None:
    ends = [a_run(ended_as=JobStatus.TIMEOUT), a_run(ended_as=JobStatus.CANCELLED, attempt=3)]
    cell = total(a_run(), a_failed_run(), *ends)

    assert figures.decided(cell) == 3
    assert (success_rate(cell), figures.retry_rate(cell)) == (1 / 3, 0.0)


def test_failures_are_counted_with_their_newest_run() -> None:
    early, late, other = a_failed_run(), a_failed_run(NOON + minutes(5)), a_failed_run(message="it burst")
    failures = everyone([late, early, other]).failures

    assert early.fingerprint is not None and other.fingerprint is not None
    assert failures[early.fingerprint] == Seen(2, late.finished_at, f"{late.job_id}-1")
    assert failures[other.fingerprint].times == 1


@given(RUNS)
def test_each_part_counts_each_run_once_and_each_tenant_its_own(runs: list[RunSummary]) -> None:
    made = breakdowns_of(runs)

    assert set(made) == ({EVERYONE, *(run.tenant for run in runs)} if runs else set())
    for whose, found in made.items():
        own = [run for run in runs if whose in {EVERYONE, run.tenant}]
        direct = Cell()
        for run in own:
            direct.add(run)
        assert asdict(found.total) == asdict(direct)
        for part in ("class", "template", "tenant"):
            assert asdict(sum_of(found.by[part].values())) == asdict(direct)
        assert sum(cell.runs for cell in found.by["algorithm"].values()) == sum(bool(run.algorithm) for run in own)


@given(RUNS, st.integers(0, 40))
def test_parts_add_up_to_the_whole(runs: list[RunSummary], cut: int) -> None:
    parts = [everyone(runs[:cut]), everyone(runs[cut:])]
    before = deepcopy(parts)

    assert asdict(sum_up(parts)) == asdict(everyone(runs))
    assert parts == before, "what is added stays as it is"


def test_what_is_beyond_the_bound_is_one_and_no_run_is_lost() -> None:
    found = everyone([a_run(template=f"t{n}") for n in range(MOST_NAMES + 20) for _ in range(1 + (n == 33))])
    templates = found.by["template"]

    assert (len(templates), next(iter(templates)), list(templates)[-1]) == (MOST_NAMES + 1, "t33", OTHER)
    assert sum(cell.runs for cell in templates.values()) == MOST_NAMES + 21
    assert set(found.by) == set(PARTS)
    again = sum_up([found, found])
    again.bound()
    assert again.by["template"][OTHER].runs == 2 * templates[OTHER].runs


@given(RUNS, st.integers(1, 4))
def test_names_are_ordered_by_use_and_the_rest_comes_last(runs: list[RunSummary], most: int) -> None:
    cells = everyone(runs).by["template"]
    found = most_used(cells, most)

    assert len(found) <= most + 1
    assert asdict(sum_of(found.values())) == asdict(sum_of(cells.values()))
    named = [cell.runs for name, cell in found.items() if name != OTHER]
    assert named == sorted(named, reverse=True)


def test_rare_failures_become_one() -> None:
    failures = {f"{n:02}": Seen(n, NOON, "job_a-1") for n in range(1, 31)} | {OTHER: Seen(5, NOON, "job_b-1")}
    found = most_frequent(failures, 20)

    assert len(found) == 21 and "30" in found and "10" not in found
    assert found[OTHER].times == 5 + sum(range(1, 11))
    assert most_frequent(found, 20) == found


def test_percentiles_are_near_and_the_mean_is_exact() -> None:
    found = waits_of(total(*(a_run(wait_seconds=float(n)) for n in range(1, 101))))

    assert found.mean == 50.5
    assert found.p50 == pytest.approx(50, rel=0.05)
    assert found.p90 == pytest.approx(90, rel=0.05)
    assert found.p99 == pytest.approx(99, rel=0.05)
    assert waits_of(Cell()) == figures.Percentiles(None, None, None, None)
