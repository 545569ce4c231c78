"""The table of estimator arguments against the installed scikit-learn."""

from __future__ import annotations

import pytest

from app.domain.hyperparameters import ESTIMATOR_ARGUMENTS
from workers.steps.ml.estimators import ALGORITHMS


def test_every_algorithm_is_in_the_table() -> None:
    assert ESTIMATOR_ARGUMENTS.keys() == ALGORITHMS.keys()


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_arguments_are_those_of_classifier_and_regressor(name: str) -> None:
    estimators = (ALGORITHMS[name].classifier(), ALGORITHMS[name].regressor())
    assert set(ESTIMATOR_ARGUMENTS[name]) == {key for made in estimators for key in made.get_params()}
