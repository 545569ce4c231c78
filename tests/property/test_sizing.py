"""Property 15: more history of equal peaks never raises the plan, and a killed run never lowers it; each with mutants
that must fail it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.resources import Vector
from app.domain.sizing import history as history_of
from app.domain.sizing import rules
from app.domain.sizing.features import Features, TableFacts, features_of
from app.domain.sizing.quantiles import Weighted
from app.domain.sizing.residuals import PastRun
from tests.unit.domain.sizing.builders import HOUR, a_run, an_oom, history, sized

LARGE = features_of({"algorithm": "logistic_regression"}, TableFacts(1_000_000, 100))
KINDS: list[Features | None] = [LARGE, None]
TEMPLATE = Vector(1_000, 2_048, 0, 0)
PEAKS = st.floats(50.0, 20_000.0)
PastRuns = list[PastRun]
GROUPS = st.integers(0, 3)
"""Which of the four groups a run is of: 0 the finest."""


def plan(groups: list[PastRuns], features: Features | None, *, stated: bool = False) -> int:
    """MiB that a job gets."""
    known = history(*groups, modelled=features is not None)
    return sized(known, features=features, stated=stated, requirement=TEMPLATE).resources.memory_mib


def equal(count: int, peak: float, features: Features | None, oldest: timedelta) -> PastRuns:
    """So many runs with the same peak; the first is the newest."""
    return [a_run(peak, ago=HOUR + (oldest / count) * n, features=features) for n in range(count)]


@given(st.sampled_from(KINDS), PEAKS, st.integers(1, 120), st.integers(1, 300), st.booleans())
def test_more_history_of_equal_peaks_never_raises_the_plan(
    features: Features | None, peak: float, count: int, days: int, stated: bool
) -> None:
    found = [
        plan([equal(n, peak, features, timedelta(days=days))], features, stated=stated) for n in (count, count + 1)
    ]
    assert found[1] <= found[0]


def mixed(seed: int, runs: int, features: Features | None) -> list[PastRuns]:
    """Runs and kills of all four groups, some days old."""
    chance = random.Random(seed)
    groups: list[PastRuns] = [[], [], [], []]
    for _ in range(runs):
        ago = HOUR * chance.uniform(2, 2_000)
        peak = 2 ** chance.uniform(6, 13)
        made = an_oom(round(peak), ago=ago, features=features) if chance.random() < 0.3 else None
        groups[chance.randrange(4)].append(made or a_run(peak, ago=ago, features=features))
    return groups


def with_kill(groups: list[PastRuns], at: int, limit: int, features: Features | None) -> list[PastRuns]:
    """The same, and the newest run of all was killed at this limit."""
    kill = an_oom(limit, ago=HOUR, features=features)
    return [[*runs, kill] if n == at else runs for n, runs in enumerate(groups)]


@given(
    st.sampled_from(KINDS), st.integers(0, 10_000), st.integers(0, 60), GROUPS, st.integers(16, 20_000), st.booleans()
)
def test_a_killed_run_never_lowers_the_plan(
    features: Features | None, seed: int, runs: int, at: int, limit: int, stated: bool
) -> None:
    before = mixed(seed, runs, features)
    after = with_kill(before, at, limit, features)
    assert plan(after, features, stated=stated) >= plan(before, features, stated=stated)


def raised_by_an_equal_peak() -> bool:
    return any(
        plan([equal(n + 1, peak, None, HOUR)], None) > plan([equal(n, peak, None, HOUR)], None)
        for n in range(1, 20)
        for peak in (2_500.0, 3_000.0, 9_000.0)
    )


def lowered_by_a_kill(features: Features | None) -> bool:
    """By the newest run, killed at next to nothing: in one group of runs with different peaks."""
    for count in range(5, 80):
        chance = random.Random(count)
        before = [[a_run(2 ** chance.uniform(9, 13), ago=n * HOUR, features=features) for n in range(2, count + 2)]]
        if plan(with_kill(before, 0, 16, features), features) < plan(before, features):
            return True
    return False


def test_a_mutant_with_less_margin_over_few_runs_than_over_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not raised_by_an_equal_peak()
    monkeypatch.setattr(rules, "FEW_MARGIN", 1.0)
    assert raised_by_an_equal_peak()


def _as_told(values: list[Weighted], cut: list[Weighted], _: float) -> list[Weighted]:
    """Every bound counts as a value."""
    return sorted([*values, *cut])


@pytest.mark.parametrize("features", KINDS)
def test_a_mutant_that_takes_a_bound_for_a_value_is_noticed(
    monkeypatch: pytest.MonkeyPatch, features: Features | None
) -> None:
    assert not lowered_by_a_kill(features)
    monkeypatch.setattr(history_of, "with_cut_short", _as_told)
    assert lowered_by_a_kill(features)


@pytest.mark.parametrize("features", KINDS)
def test_a_mutant_whose_margin_shrinks_with_kills_is_noticed(
    monkeypatch: pytest.MonkeyPatch, features: Features | None
) -> None:
    real = rules.memory

    def counting(job: rules.Foreknown, known: history_of.Known | None) -> rules.Amount:
        return real(job, None if known is None else replace(known, runs=len(known.values)))

    monkeypatch.setattr(rules, "memory", counting)
    assert lowered_by_a_kill(features)
