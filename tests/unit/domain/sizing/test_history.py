"""Which runs speak, and what they say together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import exp, log

import pytest

from app.domain.resources import Vector
from app.domain.sizing.features import Features, TableFacts, features_of
from app.domain.sizing.history import Level, is_enough
from app.domain.sizing.kinship import Kinship, name_in
from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import prior_of
from app.domain.sizing.residuals import residual_of
from tests.unit.domain.sizing.builders import HOUR, NAMES, SVM, TEMPLATE, a_run, an_oom, history, residuals, runs

PRIOR = prior_of(SVM)
assert PRIOR is not None


def test_a_residual_is_what_was_used_over_what_was_foretold() -> None:
    found = residual_of(a_run(2 * PRIOR.memory_mib, seconds=3 * PRIOR.seconds, cores=1.5))
    assert found is not None
    assert found.memory == pytest.approx(log(2))
    assert found.seconds == pytest.approx(log(3))
    assert found.cores == pytest.approx(log(1.5))


def test_without_a_prior_it_is_the_logarithm_of_what_was_used() -> None:
    found = residual_of(a_run(512, seconds=40, cores=2, features=None))
    assert found is not None
    assert (found.memory, found.seconds, found.cores) == (log(512), log(40), log(2))


def test_a_killed_run_needed_a_fifth_more_than_it_had_or_what_it_was_seen_to_use() -> None:
    for limit, peak, want in ((1_000, None, 1_200), (1_000, 1_300, 1_300)):
        found = residual_of(an_oom(limit, peak=peak))
        assert found is not None and found.killed
        assert found.memory == pytest.approx(log(want / PRIOR.memory_mib))
        assert found.seconds is None and found.cores is None


def test_a_run_that_met_its_limit_would_have_taken_half_as_long_again() -> None:
    found = residual_of(a_run(outcome="timeout", seconds=100))
    assert found is not None
    assert found.seconds == pytest.approx(log(150 / PRIOR.seconds))
    assert found.memory is None and found.cores is None


@pytest.mark.parametrize("outcome", ["cancelled", "worker_lost", "error", "preempted", "released"])
def test_runs_that_did_not_end_by_themselves_say_nothing(outcome: str) -> None:
    assert residual_of(a_run(outcome=outcome)) is None


@pytest.mark.parametrize("missing", [{"peak": None}, {"peak": 0.0}, {"cores": None}])
def test_what_was_not_measured_says_nothing(missing: dict[str, float | None]) -> None:
    found = residual_of(a_run(**missing))  # type: ignore[arg-type]
    assert found is not None
    assert (found.memory is None) is ("peak" in missing)
    assert (found.cores is None) is ("cores" in missing)


@pytest.mark.parametrize(
    ("features", "asked", "used", "counts"),
    [(SVM, 2_000, 0.2, 1.0), (SVM, 500, 0.2, 0.5), (SVM, 2_000, 1.5, 1.5), (None, 2_000, 0.2, 0.2)],
)
def test_a_training_on_a_crowded_node_does_not_teach_to_give_fewer_cores(
    features: Features | None, asked: int, used: float, counts: float
) -> None:
    found = residual_of(a_run(asked=Vector(asked, 4_096, 0, 0), cores=used, features=features))
    assert found is not None
    assert found.cores == pytest.approx(log(counts))


def test_a_run_that_used_all_its_cores_does_not_say_how_many_it_could_use() -> None:
    forest = features_of({"algorithm": "random_forest"}, TableFacts(10_000, 20))
    for asked, used, says in ((2_000, 1.9, False), (2_000, 1.2, True), (8_000, 7.9, True)):
        found = residual_of(a_run(asked=Vector(asked, 4_096, 0, 0), cores=used, features=forest))
        assert found is not None and (found.cores is not None) is says


def test_groups_go_from_fine_to_coarse_and_are_told_without_values() -> None:
    groups = Kinship("ann", "train", "svm", "iris").groups()
    assert [group.name for group in groups] == list(NAMES)
    assert dict(groups[0].values) == {"tenant": "ann", "template": "train", "algorithm": "svm", "dataset": "iris"}
    assert dict(groups[3].values) == {"algorithm": "svm"}
    assert len(Kinship("ann", "command", None, None).groups()) == 3


@pytest.mark.parametrize(
    ("counts", "want"),
    [
        ((5, 9, 9, 9), 0),
        ((4, 5, 9, 9), 1),
        ((4, 0, 9, 9), 0),
        ((0, 4, 9, 9), 1),
        ((0, 0, 5, 9), 2),
        ((0, 0, 4, 5), 3),
        ((0, 0, 4, 0), 2),
        ((0, 0, 0, 1), 3),
    ],
)
def test_the_tenants_own_runs_speak_first_then_the_finest_group_with_enough(counts: tuple[int, ...], want: int) -> None:
    """`counts`: how many runs each group adds to those of the finer ones."""
    known = history(*([a_run(100.0 * (n + 1))] * count for n, count in enumerate(counts)))
    assert known.memory is not None and known.seconds is not None
    assert known.memory.group == known.seconds.group == NAMES[want]
    assert known.memory.runs == sum(counts[: want + 1])


def test_nobody_who_ran_says_nothing() -> None:
    known = history()
    assert (known.memory, known.cores, known.seconds, known.outcome) == (None, None, None, None)


def test_only_runs_with_a_prior_speak_of_a_job_with_one() -> None:
    mixed = [*runs(*[100] * 5), *runs(*[999] * 9, features=None)]
    known, raw = history(mixed).memory, history(mixed, modelled=False).memory
    assert known is not None and raw is not None
    assert (known.runs, raw.runs) == (5, 9)
    assert exp(raw.most) == pytest.approx(999)


def test_without_a_prior_other_tenants_runs_say_nothing_of_memory() -> None:
    theirs = runs(*[100] * 9, features=None)
    assert history((), (), theirs, modelled=False).memory is None
    assert history((), (), theirs, modelled=False).cores is None
    assert history((), (), theirs, modelled=False).seconds is not None
    assert history((), theirs, modelled=False).memory is not None


def test_with_data_of_unknown_size_runs_on_other_data_say_nothing_of_memory() -> None:
    assert history((), runs(*[100] * 9), sized=False).memory is None
    assert history(runs(*[100] * 9), sized=False).memory is not None


def test_the_largest_of_few_runs_just_like_it_is_kept_in_mind() -> None:
    known = history([an_oom(3_000)], runs(*[100] * 20)).memory
    assert known is not None and known.own is not None
    assert exp(known.own) * PRIOR.memory_mib == pytest.approx(3_600)
    alone = history(runs(*[100] * 20)).memory
    assert alone is not None and alone.own is None


def test_killed_runs_make_no_group_one_with_enough() -> None:
    known = history([*runs(100, 100), *[an_oom(500)] * 9]).memory
    assert known is not None
    assert (known.runs, len(known.values)) == (2, 11)
    assert exp(known.most) * PRIOR.memory_mib == pytest.approx(600)


def test_of_killed_runs_alone_all_of_the_tenant_speak() -> None:
    known = history([an_oom(300)], [an_oom(500)], [an_oom(9_000)]).memory
    assert known is not None
    assert (known.group, known.runs, len(known.values)) == (NAMES[1], 0, 2)
    assert history((), (), [an_oom(9_000)]).memory is None


def test_what_became_of_the_group() -> None:
    known = history([*runs(*[1_024] * 9), an_oom(512)])
    assert known.outcome == Outcome(10, pytest.approx(0.1), pytest.approx(0.75))


def test_only_the_latest_hundred_runs_count_and_kills_since_then() -> None:
    old_kill = an_oom(50_000, ago=200 * HOUR)
    many = [*runs(*[100.0] * 100), a_run(9_000, ago=150 * HOUR), old_kill]
    known = history(many).memory
    assert known is not None
    assert (known.runs, len(known.values)) == (100, 100)
    assert known.most == pytest.approx(log(100 / PRIOR.memory_mib))
    assert known.last_run_at == many[0].at


def test_a_kill_keeps_the_weight_of_every_other_run() -> None:
    before, after = history(runs(*range(100, 120))).memory, history([*runs(*range(100, 120)), an_oom(110)]).memory
    assert before is not None and after is not None
    assert set(before.values) <= set(after.values)


def test_runs_that_follow_their_features_are_foretold_by_them() -> None:
    """Peaks that grow by the square of the rows, which the prior of this algorithm does not know."""
    past = []
    for n in range(40):
        rows = 10_000 * (1 + n % 10)
        features = features_of({"algorithm": "logistic_regression"}, TableFacts(rows, 20))
        past.append(a_run(100 + (rows / 1_000) ** 2, ago=(n + 1) * HOUR, features=features))
    known = history(past).memory
    assert known is not None and known.trend is not None
    assert max(abs(value) for value, _ in known.values) < 0.5
    few = history(past[:29]).memory
    assert few is not None and few.trend is None


def test_noise_is_not_taken_for_a_trend() -> None:
    past = [
        a_run(1_000 + 300 * ((n * 7) % 10), ago=(n + 1) * HOUR, features=replace(SVM, rows=10_000.0 * (1 + n % 3)))
        for n in range(60)
    ]
    known = history(past).memory
    assert known is not None and known.trend is None


def test_old_runs_weigh_less() -> None:
    recent = [a_run(1_000, ago=timedelta(days=1) * (n + 1), asked=TEMPLATE) for n in range(10)]
    old = [a_run(3_000, ago=timedelta(days=300 + n)) for n in range(5)]
    known = history([*recent, *old]).memory
    assert known is not None
    assert exp(known.quantile(0.5)) * PRIOR.memory_mib == pytest.approx(1_000)
    assert known.mean_ratio() * PRIOR.memory_mib == pytest.approx(1_000, rel=0.01)


def test_a_group_is_enough_when_five_runs_speak_of_everything() -> None:
    unmeasured = [a_run(peak=None, ago=n * HOUR) for n in range(9)]
    for past, modelled, want in (
        (runs(*[100] * 5), True, True),
        (runs(*[100] * 4), True, False),
        (runs(*[100] * 5), False, False),
        ([*runs(*[100] * 4), *unmeasured], True, False),
        ([*runs(*[100] * 4), *[an_oom(64)] * 5], True, False),
    ):
        assert is_enough(Level("", residuals(past)), modelled=modelled) is want


def test_a_name_that_is_none_is_none() -> None:
    assert name_in({"algorithm": "svm"}, "algorithm") == "svm"
    for nothing in ({}, {"algorithm": 5}, {"algorithm": None}, {"algorithm": "x" * 256}):
        assert name_in(nothing, "algorithm") is None
