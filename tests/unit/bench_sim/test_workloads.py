"""Samples of each workload have the figures that stand in its file, within 5 %."""

from __future__ import annotations

from collections import Counter
from math import log
from random import Random
from statistics import fmean, median, stdev

import pytest

from bench.sim.arrivals import arrival_times, trace_of
from bench.sim.jobs import DAY, ERRORS, HOUR, misjudged
from bench.sim.scenarios import WORKLOADS
from bench.sim.workloads import alibaba, borg, helios, own, philly
from bench.sim.workloads.draw import INSIDE, capped_mean, top_share

NEAR = 0.05


def near(want: float) -> object:
    return pytest.approx(want, rel=NEAR)


def test_the_designs_own_families_spread_by_the_sigma_that_is_said() -> None:
    draw = own.own().source(Random(1))
    drawn = [draw() for _ in range(60_000)]
    inside: dict[int, list[float]] = {}
    for one in drawn:
        inside.setdefault(id(one.kind), []).append(log(one.takes))

    assert len(inside) == own.FAMILIES
    assert fmean(stdev(logs) for logs in inside.values()) == near(INSIDE)
    gpus = Counter(one.kind.vector.gpu for one in {id(d.kind): d for d in drawn}.values())
    assert {g: n / own.FAMILIES for g, n in gpus.items()} == pytest.approx(own.GPUS, abs=0.005)


def test_expectations_hold_of_what_is_drawn() -> None:
    draw = own.own().source(Random(2))
    drawn = [draw() for _ in range(40_000)]

    assert fmean(d.takes <= d.kind.cautious for d in drawn) == pytest.approx(0.9, abs=0.01)
    assert sum(d.takes for d in drawn) / sum(d.kind.mean for d in drawn) == near(1.0)
    assert fmean(d.takes <= d.kind.timeout for d in drawn) > 0.999


def test_classes_come_in_their_shares() -> None:
    draw = own.own(classes=True).source(Random(3))
    counts = Counter(draw().priority for _ in range(40_000))

    assert {c: counts[c] / 40_000 for c in own.CLASSES} == {c: near(share) for c, share in own.CLASSES.items()}


def test_phillys_jobs_fail_as_often_and_take_as_long() -> None:
    medians, early = [], 0
    for seed in range(60):
        draw = philly.philly().source(Random(seed))
        for _ in range(1_000):
            drawn = draw()
            medians.append(drawn.kind.mean / 2.718281828459045 ** (INSIDE * INSIDE / 2))
            early += drawn.takes < drawn.kind.mean / 8
    draw = philly.weighted(Random(1), philly.ENDS)
    ends = Counter(draw() for _ in range(40_000))

    assert median(medians) == near(philly.MEDIAN)
    assert {e: ends[e] / 40_000 for e in philly.ENDS} == {e: near(share) for e, share in philly.ENDS.items()}
    assert early > 0, "runs that fail end early"


def test_helios_jobs_have_the_published_median_and_mean() -> None:
    random = Random(1)
    seconds = sorted(helios.gpu_seconds(random)[1] for _ in range(100_000))

    assert seconds[len(seconds) // 2] == near(helios.MEDIAN)
    assert fmean(seconds) == near(helios.MEAN)
    sigma = helios.sigma_for(helios.MEDIAN, helios.MEAN, helios.CAP)
    assert capped_mean(helios.MEDIAN, sigma, helios.CAP) == pytest.approx(helios.MEAN, rel=1e-6)


def test_half_of_helios_jobs_use_gpus() -> None:
    draw = helios.helios().source(Random(1))

    assert fmean(draw().kind.vector.gpu > 0 for _ in range(20_000)) == near(helios.WITH_GPU)


def test_alibabas_jobs_recur_and_few_users_submit_most() -> None:
    recurrent, shares = [], []
    for seed in range(20):
        draw = alibaba.alibaba().source(Random(seed))
        drawn = [draw() for _ in range(2_000)]
        recurrent += [d.kind.mean < d.kind.timeout for d in drawn]
        counts = Counter(d.tenant for d in drawn)
        shares.append(sum(n for _, n in counts.most_common(round(alibaba.TOP * alibaba.USERS))) / len(drawn))
    weights = alibaba.zipf(alibaba.USERS, alibaba.zipf_exponent(alibaba.USERS, alibaba.TOP, alibaba.TOP_SHARE))

    assert fmean(recurrent) == near(alibaba.RECURRENT)
    assert top_share(weights, alibaba.TOP) == pytest.approx(alibaba.TOP_SHARE, rel=1e-3)
    assert fmean(shares) > alibaba.TOP_SHARE, "of a few thousand jobs the most active users have more than their share"


def test_borgs_largest_hundredth_holds_nearly_all() -> None:
    count = 200_000
    sample = [borg.core_seconds((n + 0.5) / count) for n in range(count)]

    assert borg.expected_top_share() == pytest.approx(borg.TOP_SHARE, abs=0.005)
    assert top_share(sample, borg.TOP) == near(borg.TOP_SHARE)


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("load", [0.7, 1.2])
def test_the_fullest_dimension_is_asked_for_as_the_load_says(name: str, load: float) -> None:
    hours = 24.0
    trace = trace_of(WORKLOADS[name](), 1, load, hours)
    asked = [sum(j.vector.parts()[r] * j.takes for j in trace.jobs) for r in range(4)]
    shares = [a / (c * hours * HOUR) for a, c in zip(asked, trace.capacity.parts(), strict=True) if c]

    assert max(shares) == near(load)
    assert all(any(j.vector.fits(n.capacity) for n in trace.nodes) for j in trace.jobs)
    assert all(j.takes < j.hard for j in trace.jobs)


def test_the_busiest_hour_has_twice_the_rate_of_the_quietest() -> None:
    times = arrival_times(Random(1), 400_000, DAY)
    by_hour = Counter(t // HOUR for t in times)

    assert max(by_hour.values()) / min(by_hour.values()) == near(2.0)


def test_the_same_seed_gives_the_same_jobs() -> None:
    first, second, other = (trace_of(own.own(), seed, 0.9, 4.0) for seed in (1, 1, 2))

    assert first.jobs == second.jobs != other.jobs


@pytest.mark.parametrize("error", ERRORS)
def test_wrong_expectations_leave_the_truth_alone(error: str) -> None:
    trace = trace_of(own.own(), 1, 0.9, 12.0)
    wrong = misjudged(trace, error, 1)
    factors = [b.mean / a.mean for a, b in zip(trace.jobs, wrong.jobs, strict=True)]

    assert [j.takes for j in wrong.jobs] == [j.takes for j in trace.jobs]
    assert [j.hard for j in wrong.jobs] == [j.hard for j in trace.jobs]
    assert all(j.mean <= j.hard and j.cautious <= j.hard for j in wrong.jobs)
    assert median(factors) == pytest.approx({"right": 1.0, "÷5": 0.2, "×5": 5.0, "random": 1.0}[error], rel=0.15)
