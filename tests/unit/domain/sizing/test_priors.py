"""What the table says, and what it is made of: features of parameters and data, whatever users write."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.builtin_templates import builtin_templates
from app.domain.layers import derive
from app.domain.sizing.features import (
    ASSUMED_COLUMNS,
    ASSUMED_ROWS,
    NOTHING_KNOWN,
    Features,
    TableFacts,
    as_measured,
    facts_of,
    features_of,
    is_modelled,
)
from app.domain.sizing.priors import TABLE, efficient_cores, prior_of
from app.domain.step_catalog import ALGORITHMS
from app.domain.templates import Step, TemplateDraft

TABLE_OF = TableFacts(100_000, 50)


def made(algorithm: str, facts: TableFacts = TABLE_OF, **parameters: Any) -> Features:
    return features_of({"algorithm": algorithm, **parameters}, facts)


def seconds(algorithm: str, **parameters: Any) -> float:
    prior = prior_of(made(algorithm, **parameters))
    assert prior is not None
    return prior.seconds


def memory(algorithm: str, **parameters: Any) -> float:
    prior = prior_of(made(algorithm, **parameters))
    assert prior is not None
    return prior.memory_mib


def test_every_algorithm_that_can_be_asked_for_has_a_row() -> None:
    assert set(ALGORITHMS) <= set(TABLE)


@pytest.mark.parametrize(
    ("algorithm", "parameters", "work"),
    [
        ("random_forest", {"n_estimators": 10}, 1.0e-7 * 10 * 1e5 * 16.60964 * 50**0.5),
        ("random_forest", {"n_estimators": 10, "task": "regression"}, 1.0e-7 * 10 * 1e5 * 16.60964 * 50),
        ("random_forest", {"n_estimators": 10, "max_depth": 8}, 1.0e-7 * 10 * 1e5 * 8 * 50**0.5),
        ("decision_tree", {}, 1.0e-7 * 1e5 * 16.60964 * 50),
        ("gradient_boosting", {}, 1.1e-7 * 100 * 1e5 * 50 * 3),
        ("hist_gradient_boosting", {}, 3.6e-8 * 100 * (1e5 * 50 + 7_905 * 50)),
        ("svm", {}, 1.4e-9 * 1e10 * 50 * 2),
        ("logistic_regression", {"max_iter": 100}, 4e-8 * 1e5 * 50 * 0.5),
        ("knn", {"test_split": 0.1}, 3e-9 * 1e4 * 1e5 * 50),
        ("dnn", {"hyperparameters": {"hidden_layer_sizes": [64, 32]}}, 9e-10 * 100 * (1e5 * 5_568 + 3e5 * 500)),
        ("dnn", {"max_epochs": 10, "batch_size": 1_000}, 9e-10 * 10 * (1e5 * 6_000 + 3e5 * 100)),
    ],
)
def test_seconds_on_one_core_are_the_tables(algorithm: str, parameters: dict[str, Any], work: float) -> None:
    assert seconds(algorithm, **parameters) == pytest.approx(0.5 + work, rel=1e-4)


def test_folds_take_as_often_as_long_and_no_more_memory() -> None:
    once, often = seconds("svm"), seconds("svm", validation_strategy="cross_validation", cv_folds=4)
    assert often - 0.5 == pytest.approx(4 * (once - 0.5))
    assert seconds("svm", validation_strategy="cross_validation") - 0.5 == pytest.approx(5 * (once - 0.5))
    assert memory("svm", validation_strategy="cross_validation") == memory("svm")


X = 8 * 1e5 * 50 / 2**20


@pytest.mark.parametrize(
    ("algorithm", "parameters", "beyond"),
    [
        ("random_forest", {"max_depth": 9}, 3 * X + 100 * 1_024 * 96 / 2**20),
        ("random_forest", {}, 3 * X + 100 * 2e5 * 96 / 2**20),
        ("gradient_boosting", {}, 3 * X + 100 * 16 * 96 / 2**20),
        ("svm", {}, 3 * X + 200),
        ("logistic_regression", {}, 3 * X),
        ("knn", {}, 2 * X),
        ("dnn", {}, 3 * X + 32 * 6_000 / 2**20),
    ],
)
def test_memory_is_the_tables(algorithm: str, parameters: dict[str, Any], beyond: float) -> None:
    assert memory(algorithm, **parameters) == pytest.approx(48 + 4 * X + beyond)


@pytest.mark.parametrize(("parallel", "want"), [(0.95, 8), (0.7, 2), (0.0, 1)])
def test_cores_are_as_many_as_are_used_to_seven_tenths(parallel: float, want: float) -> None:
    assert efficient_cores(parallel) == want


def test_a_forest_has_no_more_cores_than_trees() -> None:
    prior = prior_of(made("random_forest", n_estimators=3))
    assert prior is not None and prior.cores == 3


def test_more_cores_take_less_as_far_as_the_work_is_shared() -> None:
    forest, tree = prior_of(made("random_forest")), prior_of(made("decision_tree"))
    assert forest is not None and tree is not None
    assert forest.seconds_on(8) == pytest.approx(0.5 + (forest.seconds - 0.5) * (0.05 + 0.95 / 8))
    assert forest.seconds_on(0.5) == forest.seconds_on(1) == pytest.approx(forest.seconds)
    assert tree.seconds_on(8) == tree.seconds


def test_a_network_on_a_gpu_comes_with_a_hint_of_its_memory() -> None:
    on_gpu = prior_of(features_of({"algorithm": "cnn"}, TABLE_OF, gpu=True))
    without = prior_of(made("cnn"))
    assert on_gpu is not None and without is not None
    assert on_gpu.gpu_memory_mib is not None and without.gpu_memory_mib is None
    assert on_gpu.seconds < without.seconds and on_gpu.memory_mib > 1_200


def test_the_size_of_data_is_known_or_assumed_and_named() -> None:
    assert facts_of("iris", None) == TableFacts(150, 4, False)
    assert facts_of("diabetes", None).continuous is True
    assert facts_of("houses", {"rows": 1_000, "features": 8, "task": "regression"}) == TableFacts(1_000, 8, True)
    assert facts_of("houses", {"rows": "many", "features": -1}) == TableFacts(None, None, None)
    assert facts_of(None, None) == NOTHING_KNOWN
    unknown = made("svm", NOTHING_KNOWN)
    assert (unknown.rows, unknown.columns) == (ASSUMED_ROWS, ASSUMED_COLUMNS)
    assert unknown.assumed == ("rows", "columns")
    assert made("svm").assumed == ()


def test_what_a_run_has_seen_of_its_data_replaces_what_was_assumed() -> None:
    planned = made("knn", NOTHING_KNOWN)
    told = {"steps": {"command": None, "data_preparation": {"rows": 500, "features": 7}}}
    seen = as_measured(planned, told)
    assert (seen.rows, seen.columns, seen.queries, seen.assumed) == (500, 7, 100, ())
    for nothing in (None, {}, {"steps": {"a": {"rows": 5}}}, {"steps": {"a": {"rows": True, "features": "x"}}}):
        assert as_measured(planned, nothing) == planned


@given(
    st.sampled_from(ALGORITHMS),
    st.dictionaries(
        st.sampled_from(["n_estimators", "max_depth", "max_epochs", "batch_size", "hidden_layer_sizes", "max_iter"]),
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats()
        | st.sampled_from(["", "many", "1e9"])
        | st.lists(st.integers(-(2**63), 2**63) | st.just("x"), max_size=5),
    ),
    st.floats(1, 1e9),
    st.floats(1, 1e9),
)
def test_whatever_users_write_the_prior_is_a_number(
    algorithm: str, own: dict[str, Any], rows: float, columns: float
) -> None:
    features = features_of({"algorithm": algorithm, "hyperparameters": own, "cv_folds": "x"}, TableFacts(rows, columns))
    prior = prior_of(features)
    assert prior is not None
    assert 0 < prior.memory_mib < float("inf") and 0 < prior.seconds < float("inf") and 1 <= prior.cores <= 64
    assert Features.from_parts(features.parts()) == features


@pytest.mark.parametrize(
    ("template", "want"),
    [
        ("ml_training_template", True),
        ("hyperparameter_tuning", True),
        ("command", False),
        ("data_preprocessing", False),
    ],
)
def test_a_prior_speaks_of_trainings(template: str, want: bool) -> None:
    assert is_modelled(builtin_templates()[template]) is want


def test_a_prior_says_nothing_of_a_training_beside_a_step_that_nobody_knows() -> None:
    steps = (Step("model_training", 60), Step("publish", 60, ("true",)))
    template = derive(TemplateDraft("own", execution_steps=steps), builtin_templates()["ml_training"], {})
    assert not is_modelled(template)
