"""The preprocessing steps as one scikit-learn transformer, fitted on training rows only.

Always in one order, impute, one_hot, normalize, feature_selection: numbers are filled with their median and scaled to
mean 0 and variance 1, text with its most frequent value and then spread over indicator columns; of all columns that
result, feature_selection keeps the half that tells most about the target (F-test).
"""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectPercentile, f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.step_catalog import PREPROCESSING_STEPS
from workers.steps.failures import PermanentFailure
from workers.steps.ml.columns import Columns

MAX_CATEGORIES = 100
SELECTED_PERCENT = 50


def chosen_steps(given: Json) -> tuple[str, ...]:
    """The parameter `preprocessing_steps`, checked and in the order of application. Raises PermanentFailure."""
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise PermanentFailure(f"preprocessing_steps must be a list of {', '.join(PREPROCESSING_STEPS)}")
    for name in given:
        if name not in PREPROCESSING_STEPS:
            raise PermanentFailure("preprocessing_steps: " + unknown_name("step", name, PREPROCESSING_STEPS)[0])
    return tuple(name for name in PREPROCESSING_STEPS if name in given)


def build(columns: Columns, steps: tuple[str, ...], task: str) -> Pipeline:
    """An unfitted transformer from the table of features to numbers."""
    branches: list[tuple[str, Any, list[str]]] = []
    if columns.numeric:
        branches.append(("numeric", _numeric(steps), list(columns.numeric)))
    if columns.text:
        branches.append(("text", _text(steps), list(columns.text)))
    stages: list[tuple[str, Any]] = [("columns", ColumnTransformer(branches, verbose_feature_names_out=False))]
    if "feature_selection" in steps:
        score = f_regression if task == "regression" else f_classif
        stages.append(("selection", SelectPercentile(score, percentile=SELECTED_PERCENT)))
    return Pipeline(stages)


def _numeric(steps: tuple[str, ...]) -> Any:
    stages: list[tuple[str, Any]] = []
    if "impute" in steps:
        stages.append(("impute", SimpleImputer(strategy="median", keep_empty_features=True)))
    if "normalize" in steps:
        stages.append(("normalize", StandardScaler()))
    return Pipeline(stages) if stages else "passthrough"


def _text(steps: tuple[str, ...]) -> Pipeline:
    stages: list[tuple[str, Any]] = []
    if "impute" in steps:
        stages.append(("impute", SimpleImputer(strategy="most_frequent", keep_empty_features=True)))
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)
    return Pipeline([*stages, ("one_hot", encoder)])
