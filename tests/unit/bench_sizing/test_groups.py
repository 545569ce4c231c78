"""The benchmark of sizing: its groups are what it says, and it finds what it is made to find."""

from __future__ import annotations

from math import log
from statistics import fmean, median

import pytest

from app.domain.sizing.priors import prior_of
from bench.sizing import fits, report
from bench.sizing.fits import Fit
from bench.sizing.groups import ASKED, OURS, SAME, VARYING, Series, judged, replay, series, simulated, table


def prior_mib(group: Series) -> list[float]:
    priors = [prior_of(job.features) for job in group.jobs]
    return [prior.memory_mib for prior in priors if prior is not None]


def test_needs_vary_within_a_group_and_its_prior_is_off_by_half() -> None:
    groups = [series(seed, varying=False) for seed in range(200)]
    off = [median(log(job.need / foretold) for job, foretold in zip(g.jobs, prior_mib(g), strict=True)) for g in groups]
    assert median(map(abs, off)) == pytest.approx(log(1.5), rel=0.2)
    assert all(len({job.features.rows for job in group.jobs}) == 1 for group in groups)
    asked = [group.asked / median(job.need for job in group.jobs) for group in groups]
    assert fmean(asked) == pytest.approx(fmean(ASKED), rel=0.1)


def test_varying_data_varies_tenfold_and_is_otherwise_the_same_group() -> None:
    varying, same = series(3, varying=True), series(3, varying=False)
    rows = [job.features.rows for job in varying.jobs]
    assert 5 < max(rows) / min(rows) <= 10
    assert varying.jobs[0].features.columns == same.jobs[0].features.columns
    assert varying.asked > same.asked


def test_every_job_of_a_group_completes() -> None:
    groups = [series(seed, varying=True, runs=12) for seed in range(6)]
    simulated(groups)
    for group in groups:
        assert [run.peak for run in group.made if not run.killed] == [job.need for job in group.jobs]


def test_this_service_wastes_less_than_users_and_kills_less_than_the_window_maximum_where_data_varies() -> None:
    found = table(count=24, runs=24)
    assert set(found) == {SAME, VARYING}
    ours, asked, window = (found[VARYING][name] for name in (OURS, "requested", "window_maximum"))
    assert (ours.waste or 1) < 0.7 * (asked.waste or 0)
    assert ours.oom_rate < window.oom_rate


def a_fit(seed: int, algorithm: str, off: float) -> Fit:
    wanted = fits.drawn(seed, 1)[0]
    known = fits.features_of({"algorithm": algorithm}, fits.TableFacts(wanted.rows * (1 + seed), 20))
    prior = prior_of(known)
    assert prior is not None
    return Fit(known.parts(), off * prior.memory_mib, off * prior.seconds, off * prior.seconds)


def test_real_fits_are_replayed_by_algorithm_and_priors_judged_by_them() -> None:
    made = [a_fit(n, algorithm, 1.25) for n in range(6) for algorithm in ("knn", "svm")]
    found = replay(list(fits.by_algorithm(made)))
    assert set(found) == {OURS, "requested", "window_maximum", "vpa_p90"}
    assert [round(error, 3) for error, _ in report.errors(made)] == [1.25, 1.25, 1.25]
    text = report.markdown({VARYING: found, "real": found}, made, "a machine")
    assert "| median error of priors, memory | ≤ × 2 | × 1.25 | met |" in text
    assert judged([]) == {}


def test_drawn_fits_differ_from_those_of_another_seed_and_stay_small() -> None:
    assert fits.drawn(1) != fits.drawn(2)
    for wanted in fits.drawn():
        prior = prior_of(fits.features_of(wanted.parameters, fits.TableFacts(wanted.rows, wanted.columns)))
        assert prior is not None and prior.memory_mib <= fits.MOST_MIB
