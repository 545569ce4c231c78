"""Where the best is known, the service's own policy reaches it, or the share of it that it promises."""

from __future__ import annotations

import pytest

from app.domain.sizing.grid import memory_up
from app.scheduler.rules import Rules
from bench.sim.baselines import baselines
from bench.sim.engine import simulate
from bench.sim.jobs import HOUR
from bench.sim.known import (
    best_mean_wait,
    big_among_small,
    cut,
    flood,
    identical,
    mean_wait,
    shortest_first,
    sized_alike,
    three,
)
from bench.sim.metrics import measure, served
from bench.sim.ours import Ours


@pytest.mark.parametrize(("jobs", "places"), [(1, 3), (3, 3), (7, 3), (10, 4)])
def test_identical_jobs_end_when_they_can(jobs: int, places: int) -> None:
    assert measure(simulate(identical(jobs, places, 600.0), Ours())).makespan == -(-jobs // places) * 10.0


@pytest.mark.parametrize("seed", range(5))
def test_what_was_cut_from_full_nodes_fills_them(seed: int) -> None:
    trace = cut(4, seed)
    history = simulate(trace, Ours())

    assert set(history.starts.values()) == {0}


@pytest.mark.parametrize("seed", range(2))
def test_a_whole_node_job_starts_among_endless_small_ones(seed: int) -> None:
    trace, big = big_among_small(seed)
    policy = Ours()
    history = simulate(trace, policy)
    longest_small = max(j.hard for j in trace.jobs if j.id != big)

    assert history.broken == []
    assert history.starts[big] - HOUR <= longest_small + policy.rules.slack
    assert mean_wait_of(big, "best-effort", seed) > history.starts[big] - HOUR


def mean_wait_of(job_id: str, baseline: str, seed: int) -> int:
    trace, _ = big_among_small(seed)
    return simulate(trace, baselines()[baseline]()).starts[job_id] - HOUR


@pytest.mark.parametrize("seed", range(3))
def test_a_flood_leaves_the_other_tenant_its_half(seed: int) -> None:
    trace = flood(seed)
    ours = served(simulate(trace, Ours()), HOUR, 4 * HOUR)
    fifo = served(simulate(trace, baselines()["fifo"]()), HOUR, 4 * HOUR)

    without_lane = served(simulate(trace, Ours(Rules(ageing=0.0))), HOUR, 4 * HOUR)

    assert ours["quiet"] / sum(ours.values()) == pytest.approx(0.5, abs=0.05)
    assert without_lane["quiet"] / sum(without_lane.values()) == pytest.approx(0.5, abs=0.05)
    assert fifo["quiet"] / sum(fifo.values()) < 0.35


@pytest.mark.parametrize("seed", range(40))
def test_three_jobs_submitted_shortest_first_wait_as_in_the_best_order(seed: int) -> None:
    trace = shortest_first(three(seed))

    assert mean_wait(trace) <= best_mean_wait(trace) + 0.001


def test_three_jobs_in_any_order_wait_no_longer_than_with_others_who_keep_to_it() -> None:
    """Inside a class the order is that of submission, so no bound against the best order holds for one instance."""
    traces = [three(seed) for seed in range(60)]
    best = sum(best_mean_wait(t) for t in traces)
    theirs = [sum(mean_wait(t, baselines()[name]()) for t in traces) for name in ("fifo", "best-effort", "easy")]

    assert best < sum(mean_wait(t) for t in traces) <= min(theirs) + 0.001


@pytest.mark.parametrize("peak", [300.0, 320.0, 321.0, 1_000.0, 5_000.0, 7_168.0, 40_000.0])
def test_without_noise_a_job_gets_what_it_needs_or_one_step_of_the_grid_more(peak: float) -> None:
    best = memory_up(peak)
    assert all(best <= sized_alike(peak, runs) <= memory_up(best + 1) for runs in range(8, 100))
