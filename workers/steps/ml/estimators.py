"""From an algorithm's name and a job's parameters to an estimator of scikit-learn.

A parameter beside `hyperparameters` reaches the estimator when it has one of that name (or its equivalent, `_ALIASES`)
and is ignored otherwise, so that one template serves all algorithms. What stands in `hyperparameters` is meant for this
estimator alone: a name that it does not have is refused, with the nearest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from app.domain.json import Json
from app.domain.nearest import unknown_name
from workers.steps.failures import PermanentFailure

Alias = tuple[str, Callable[[Any], Any]]


def _same(value: Any) -> Any:
    return value


def _ridge_alpha(c: float) -> float:
    """Ridge's penalty for an inverse strength C: alpha = 1 / (2 C), as scikit-learn's user guide relates the two."""
    if c <= 0:
        raise PermanentFailure(f"C must be above 0, got {c}")
    return 1 / (2 * c)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm's estimators. `defaults` differ from scikit-learn's own; `aliases`: our word → theirs.

    `parallel`: it uses the threads that `n_jobs` gives it.
    """

    classifier: type
    regressor: type
    defaults: Mapping[str, Json] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    regressor_aliases: Mapping[str, Alias] = field(default_factory=dict)
    parallel: bool = False


_EPOCHS: Mapping[str, Alias] = {"max_epochs": ("max_iter", _same), "learning_rate": ("learning_rate_init", _same)}
ALGORITHMS: Mapping[str, Algorithm] = {
    "random_forest": Algorithm(RandomForestClassifier, RandomForestRegressor, parallel=True),
    "logistic_regression": Algorithm(
        LogisticRegression, Ridge, {"max_iter": 1000}, regressor_aliases={"C": ("alpha", _ridge_alpha)}
    ),
    "svm": Algorithm(SVC, SVR),
    "decision_tree": Algorithm(DecisionTreeClassifier, DecisionTreeRegressor),
    "gradient_boosting": Algorithm(GradientBoostingClassifier, GradientBoostingRegressor),
    "knn": Algorithm(KNeighborsClassifier, KNeighborsRegressor, parallel=True),
    "dnn": Algorithm(MLPClassifier, MLPRegressor, {"max_iter": 100}, _EPOCHS, _EPOCHS),
}
_BESIDE = (
    *("C", "kernel", "degree", "gamma", "alpha", "n_estimators", "max_depth", "min_samples_leaf", "n_neighbors"),
    *("max_iter", "max_epochs", "batch_size", "learning_rate"),
)
"""Parameters that stand beside `hyperparameters`; of two that mean the same, the later one wins."""


def build(parameters: Mapping[str, Json], task: str, threads: int) -> Any:
    """The unfitted estimator. Raises PermanentFailure for an unknown algorithm or hyperparameter."""
    name = parameters.get("algorithm") or "random_forest"
    algorithm = _algorithm(name)
    made = (algorithm.regressor if task == "regression" else algorithm.classifier)()
    known = made.get_params()
    aliases = algorithm.regressor_aliases if task == "regression" else algorithm.aliases
    wanted = {key: value for key, value in algorithm.defaults.items() if key in known}
    wanted |= _beside(parameters, known, aliases)
    wanted |= _own(parameters.get("hyperparameters"), name, known)
    if "random_state" in known:
        wanted.setdefault("random_state", parameters.get("seed") or 0)
    if algorithm.parallel:
        wanted["n_jobs"] = threads
    return made.set_params(**wanted)


def _algorithm(name: Json) -> Algorithm:
    if name == "cnn":
        return _convolution()
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    raise PermanentFailure(f"algorithm: {unknown_name('algorithm', str(name), (*ALGORITHMS, 'cnn'))[0]}")


def _convolution() -> Algorithm:
    """The one algorithm that needs torch, loaded only when it is asked for: torch takes seconds and much memory."""
    try:
        module = import_module("workers.steps.ml.convolution")
    except ModuleNotFoundError as error:
        message = f"algorithm cnn needs {error.name}, which this node has not; install it there, or take dnn"
        raise PermanentFailure(message) from error
    return Algorithm(module.ConvolutionClassifier, module.ConvolutionRegressor, {}, _EPOCHS, _EPOCHS)


def _beside(parameters: Mapping[str, Json], known: Mapping[str, Any], aliases: Mapping[str, Alias]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _BESIDE:
        value = parameters.get(name)
        target, convert = aliases.get(name, (name, _same))
        if value is not None and target in known:
            found[target] = convert(value)
    return found


def _own(given: Json, algorithm: str, known: Mapping[str, Any]) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise PermanentFailure('hyperparameters must be an object such as {"max_depth": 5}')
    for name in given:
        if name not in known:
            raise PermanentFailure(f"hyperparameters of {algorithm}: {unknown_name('hyperparameter', name, known)[0]}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
