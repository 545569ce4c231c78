"""The plan of a job: how much, how long, and why; and what stands in where nothing is known."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest

from app.domain.resources import Vector
from app.domain.sizing.features import NOTHING_KNOWN, TableFacts, features_of
from app.domain.sizing.grid import memory_up
from app.domain.sizing.history import NOTHING
from app.domain.sizing.plan import fitted
from app.domain.sizing.priors import prior_of
from tests.unit.domain.sizing.builders import HOUR, NAMES, NODE, SVM, TEMPLATE, a_run, an_oom, history, runs, sized

PRIOR = prior_of(SVM)
assert PRIOR is not None
LARGE = features_of({"algorithm": "logistic_regression"}, TableFacts(1_000_000, 100))
BEYOND = 4.0
"""Times its prior: away from the least amount that is given."""


def memory_of(*groups: list, **case: object) -> int:  # type: ignore[type-arg]
    modelled = case.get("features", SVM) is not None
    return sized(history(*groups, modelled=modelled), **case).resources.memory_mib  # type: ignore[arg-type]


def test_unseen_it_gets_its_prior_and_half_as_much_again() -> None:
    plan = sized(NOTHING, features=LARGE)
    prior = prior_of(LARGE)
    assert prior is not None
    assert plan.resources == Vector(1_000, memory_up(1.5 * prior.memory_mib), 0, 10)
    assert (plan.sizing.source, plan.sizing.margin, plan.sizing.runs) == ("prior", 1.5, 0)
    assert (plan.duration.source, plan.duration.median) == ("prior", pytest.approx(prior.seconds))
    assert plan.duration.cautious == pytest.approx(4.7 * prior.seconds)


@pytest.mark.parametrize(
    ("peaks", "factor"), [((1.0,), 1.3), ((1.0, 2.0), 2.6), ((0.5,) * 4, 0.65), ((1.0,) * 5, 1.2), ((1.0,) * 50, 1.02)]
)
def test_few_runs_count_by_their_largest_and_many_by_their_quantile(peaks: tuple[float, ...], factor: float) -> None:
    past = runs(*(BEYOND * PRIOR.memory_mib * peak for peak in peaks))
    assert memory_of(past) == memory_up(factor * BEYOND * PRIOR.memory_mib)


def test_few_runs_lower_the_prior_by_no_more_than_half() -> None:
    prior = prior_of(LARGE)
    assert prior is not None
    past = [a_run(10.0, features=LARGE, ago=(n + 1) * HOUR) for n in range(6)]
    assert memory_of(past[:4], features=LARGE) == memory_up(0.5 * prior.memory_mib)
    assert memory_of(past, features=LARGE) == 256


def test_runs_on_small_data_tell_what_large_data_needs() -> None:
    prior = prior_of(LARGE)
    assert prior is not None
    small = features_of({"algorithm": "logistic_regression"}, TableFacts(100_000, 100))
    foretold = prior_of(small)
    assert foretold is not None
    past = [a_run(2 * foretold.memory_mib, features=small, ago=(n + 1) * HOUR) for n in range(50)]
    assert memory_of((), past, features=LARGE) == memory_up(2.04 * prior.memory_mib)


def test_nothing_is_smaller_than_a_quarter_of_a_gigabyte_unless_its_template_is() -> None:
    tiny = runs(*[20.0] * 9, features=None)
    assert memory_of(tiny, features=None) == 256
    assert memory_of(tiny, features=None, requirement=Vector(100, 128, 0, 0)) == 128


def test_cores_are_those_that_nine_in_ten_runs_use() -> None:
    past = [a_run(1_000, cores=1.2 if n else 1.7, ago=(n + 1) * HOUR) for n in range(40)]
    assert sized(history(past)).resources.cpu_millicores == 1_250
    assert sized(history(past[:3])).resources.cpu_millicores == 1_750


def test_without_runs_cores_are_those_that_it_uses_well() -> None:
    forest = features_of({"algorithm": "random_forest"}, TableFacts(100_000, 100))
    assert sized(NOTHING, features=forest).resources.cpu_millicores == 8_000


def test_an_explicit_request_is_obeyed_and_the_suggestion_stands_beside_it() -> None:
    asked = Vector(4_000, 8_192, 0, 10)
    plan = sized(history(runs(*[1_000] * 20)), requirement=asked, asked=True)
    assert (plan.resources, plan.sizing.source) == (asked, "request")
    assert plan.sizing.suggestion == Vector(1_000, 1_280, 0, 10)
    assert plan.sizing.runs == 20
    same = sized(history(runs(*[1_000] * 20)), requirement=Vector(1_000, 1_280, 0, 10), asked=True)
    assert same.sizing.suggestion is None
    nothing_known = sized(NOTHING, requirement=asked, asked=True, features=None)
    assert (nothing_known.resources, nothing_known.sizing.suggestion) == (asked, None)


@pytest.mark.parametrize(
    ("case", "features"),
    [
        ({"stated": True}, SVM),
        ({}, None),
        ({}, features_of({"algorithm": "svm"}, NOTHING_KNOWN)),
        ({}, replace(SVM, algorithm="own")),
    ],
)
def test_a_templates_word_stands_until_five_runs_outweigh_it(case: dict[str, bool], features: object) -> None:
    """Because a user wrote it, because there is no prior, or because nobody knows the size of the data."""
    own = [replace(run, features=features) for run in runs(*[400.0] * 5)]
    if features is not None and prior_of(features) is None:  # type: ignore[arg-type]
        assert sized(NOTHING, features=features).sizing.source == "template"  # type: ignore[arg-type]
        return
    for count, source in ((0, "template"), (4, "template"), (5, "history")):
        known = history(own[:count], modelled=features is not None, sized=True)
        plan = sized(known, features=features, **case)  # type: ignore[arg-type]
        assert plan.sizing.source == source
        assert plan.resources == TEMPLATE if source == "template" else plan.resources.memory_mib == 512


def test_few_runs_raise_a_templates_word() -> None:
    plan = sized(history(runs(6_000.0)), stated=True)
    assert (plan.sizing.source, plan.resources.memory_mib) == ("history", memory_up(1.3 * 6_000))


def test_what_was_killed_for_its_memory_begins_with_more_the_next_time() -> None:
    """Killed at 256 MiB, grown to 384, completed: the next like it gets at least as much, whatever others used."""
    for background in ((), tuple(runs(*[20.0] * 50))):
        grown = [a_run(300, asked=Vector(1_000, 384, 0, 0)), an_oom(256, ago=2 * HOUR)]
        assert memory_of(grown, background) >= 384
        assert memory_of(grown[1:], background) >= 384


def test_kills_alone_never_lower_what_nobody_has_tried() -> None:
    prior = prior_of(LARGE)
    assert prior is not None
    assert memory_of([an_oom(16, features=LARGE)], features=LARGE) == memory_up(1.5 * prior.memory_mib)
    assert sized(history([an_oom(16, features=LARGE)]), features=LARGE).sizing.source == "prior"


def test_the_plan_fits_the_largest_node() -> None:
    small = (Vector(4_000, 2_048, 0, 100), Vector(16_000, 1_024, 0, 100))
    forest = features_of({"algorithm": "random_forest"}, TableFacts(1_000_000, 100))
    assert sized(NOTHING, features=forest, capacities=small).resources == Vector(4_000, 2_048, 0, 10)
    assert sized(NOTHING, features=None, capacities=small).resources == Vector(2_000, 2_048, 0, 10)
    assert sized(NOTHING, features=None, capacities=small, stated=True).resources == TEMPLATE
    assert sized(NOTHING, features=forest, capacities=()).resources.memory_mib > 2_048


@pytest.mark.parametrize(
    ("wanted", "want"),
    [
        (Vector(8_000, 1_024, 0, 10), Vector(8_000, 1_024, 0, 10)),
        (Vector(8_000, 4_096, 0, 10), Vector(2_000, 4_096, 0, 10)),
        (Vector(8_000, 9_000, 0, 10), Vector(2_000, 8_192, 0, 10)),
        (Vector(8_000, 9_000, 1, 10), Vector(4_000, 2_048, 1, 10)),
        (Vector(8_000, 9_000, 9, 10), Vector(8_000, 9_000, 9, 10)),
    ],
)
def test_memory_is_given_before_cores_where_no_node_has_both(wanted: Vector, want: Vector) -> None:
    nodes = (Vector(2_000, 8_192, 0, 100), Vector(16_000, 2_048, 0, 100), Vector(4_000, 2_048, 4, 100))
    assert fitted(wanted, nodes) == want


def test_the_evidence_names_runs_group_and_risks() -> None:
    past = [*runs(*[1_000.0] * 19, 1_180.0), an_oom(700, ago=30 * HOUR)]
    found = sized(history(past)).sizing
    assert (found.source, found.group, found.runs, found.last_run_at) == ("history", NAMES[0], 20, past[0].at)
    assert (found.quantile, found.margin) == (0.95, 1.05)
    assert found.outcome is not None and found.outcome.runs == 21
    less, plan, more = found.alternatives
    assert (less.resources.memory_mib, plan.resources.memory_mib, more.resources.memory_mib) == (1_024, 1_280, 1_536)
    assert less.oom_risk > plan.oom_risk >= more.oom_risk > 0
    assert plan.resources == found.resources


def test_no_alternative_is_larger_than_the_largest_node() -> None:
    found = sized(history(runs(*[1_000.0] * 20)), capacities=(Vector(8_000, 1_280, 0, 100),)).sizing
    assert [other.resources.memory_mib for other in found.alternatives] == [1_024, 1_280]


def test_a_trend_foretells_what_larger_data_needs() -> None:
    past = []
    for n in range(40):
        features = features_of({"algorithm": "logistic_regression"}, TableFacts(10_000 * (1 + n % 10), 20))
        past.append(a_run(100 + (features.rows / 1_000) ** 2, ago=(n + 1) * HOUR, features=features))
    large, small = (
        features_of({"algorithm": "logistic_regression"}, TableFacts(rows, 20)) for rows in (100_000, 10_000)
    )
    assert memory_of(past, features=large) > 10_000
    assert memory_of(past, features=small) < 1_000


def test_without_any_run_or_prior_it_takes_as_long_as_it_may() -> None:
    found = sized(NOTHING, features=None, timeout=600).duration
    assert (found.median, found.mean, found.cautious, found.source) == (600, 600, 600, "timeout")
    assert sized(NOTHING, features=features_of({}, NOTHING_KNOWN), timeout=600).duration.source == "timeout"


def test_of_few_runs_the_mean_of_the_last_two() -> None:
    past = [a_run(seconds=s, ago=(n + 1) * HOUR, features=None) for n, s in enumerate((10, 20, 90))]
    found = sized(history(past, modelled=False), features=None).duration
    assert (found.mean, found.runs) == (pytest.approx(15), 3)
    assert found.cautious == pytest.approx(117)


def test_of_enough_runs_their_quantiles() -> None:
    past = [a_run(seconds=s, ago=s * HOUR, features=None) for s in range(1, 101)]
    found = sized(history(past, modelled=False), features=None).duration
    assert 20 < found.median < 60 < found.cautious <= 100
    assert (found.source, found.group, found.runs) == ("history", NAMES[0], 100)


def test_nothing_is_expected_to_take_longer_than_its_limit() -> None:
    past = [a_run(seconds=900, ago=n * HOUR) for n in range(9)]
    found = sized(history(past), timeout=600).duration
    assert (found.median, found.mean, found.cautious) == (600, 600, 600)


def test_more_cores_are_expected_to_take_less() -> None:
    forest = features_of({"algorithm": "random_forest"}, TableFacts(1_000_000, 100))
    one, eight = (
        sized(NOTHING, features=forest, asked=True, requirement=Vector(c, 4_096, 0, 0), timeout=1e9).duration.median
        for c in (1_000, 8_000)
    )
    assert one / eight == pytest.approx(1 / (0.05 + 0.95 / 8), rel=0.01)


def test_a_residual_of_the_plan_is_what_its_quantile_says() -> None:
    past = runs(*(BEYOND * PRIOR.memory_mib * exp(n / 40) for n in range(20)))
    known = history(past).memory
    assert known is not None
    want = exp(known.quantile(0.95)) * 1.05 * PRIOR.memory_mib
    assert memory_of(past) == memory_up(want)
    assert known.quantile(0.95) == pytest.approx(log(BEYOND * exp(19 / 40)))
    assert sized(history(past), capacities=(NODE,)).sizing.prior == PRIOR
