"""Training with something to see on the way: trees in portions, a network epoch by epoch, anything else in one go.

Trees grown in portions are the same trees (scikit-learn's `warm_start` draws the same random numbers). A watcher hears
of each portion and may end the training by raising.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from workers.steps.failures import PermanentFailure
from workers.steps.ml import preprocessing
from workers.steps.ml.columns import kinds
from workers.steps.ml.scores import main_score

PORTIONS = 20
JUDGED_EPOCHS = 50

Tell = Callable[[float, Mapping[str, float], int, str], None]
"""Called as (progress 0..1, metrics so far, number of the last tree or epoch, words such as `64/100 trees`)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Features and target of some rows of one table."""

    features: pd.DataFrame
    target: np.ndarray


@dataclass(frozen=True, slots=True)
class Fitting:
    """One training: what to fit on what, which rows judge it meanwhile, and who hears of it."""

    estimator: Any
    preprocessing: tuple[str, ...]
    task: str
    train: Rows
    judge: Rows
    tell: Tell


def fit(fitting: Fitting) -> Pipeline:
    """The fitted pipeline from raw columns to predictions. Raises PermanentFailure for what the estimator refuses."""
    transformer = preprocessing.build(kinds(fitting.train.features), fitting.preprocessing, fitting.task)
    name = type(fitting.estimator).__name__
    try:
        numbers = transformer.fit_transform(fitting.train.features, fitting.train.target)
        judged = transformer.transform(fitting.judge.features) if len(fitting.judge.target) else None
        _fit_estimator(fitting, numbers, judged)
    except (ValueError, TypeError) as error:
        raise PermanentFailure(f"{name}: {error}") from error
    return Pipeline([("preprocessing", transformer), ("model", fitting.estimator)])


def _fit_estimator(fitting: Fitting, numbers: np.ndarray, judged: np.ndarray | None) -> None:
    wanted = fitting.estimator.get_params()
    if _grows_trees(wanted):
        _fit_trees(fitting, numbers, judged)
    elif _learns_by_epochs(wanted):
        _fit_epochs(fitting, numbers, judged)
    else:
        fitting.tell(0.0, {}, 0, f"fitting {type(fitting.estimator).__name__}")
        fitting.estimator.fit(numbers, fitting.train.target)
        fitting.tell(1.0, _judgement(fitting, judged), 1, f"fitted {type(fitting.estimator).__name__}")


def _grows_trees(wanted: Mapping[str, Any]) -> bool:
    trees = wanted.get("n_estimators")
    countable = isinstance(trees, int) and not isinstance(trees, bool) and trees > 0
    return countable and "warm_start" in wanted and wanted.get("n_iter_no_change") is None


def _fit_trees(fitting: Fitting, numbers: np.ndarray, judged: np.ndarray | None) -> None:
    model = fitting.estimator
    total = model.n_estimators
    portion = math.ceil(total / PORTIONS)
    model.set_params(warm_start=True)
    for done in [*range(portion, total, portion), total]:
        model.set_params(n_estimators=done)
        model.fit(numbers, fitting.train.target)
        fitting.tell(done / total, _judgement(fitting, judged), done, f"{done}/{total} trees")
    model.set_params(warm_start=False)


def _learns_by_epochs(wanted: Mapping[str, Any]) -> bool:
    by_gradient = "learning_rate_init" in wanted and wanted.get("solver", "adam") in ("adam", "sgd")
    return by_gradient and not wanted.get("early_stopping") and isinstance(wanted.get("max_iter"), int)


def _fit_epochs(fitting: Fitting, numbers: np.ndarray, judged: np.ndarray | None) -> None:
    """One pass over the data at a time, ended early by scikit-learn's own rule: no better by `tol` for some epochs."""
    model, target = fitting.estimator, fitting.train.target
    epochs = model.max_iter
    classes = {"classes": np.unique(target)} if fitting.task == "classification" else {}
    every = math.ceil(epochs / JUDGED_EPOCHS)
    best, since_best = math.inf, 0
    for epoch in range(1, epochs + 1):
        model.partial_fit(numbers, target, **(classes if epoch == 1 else {}))
        since_best = since_best + 1 if model.loss_ > best - model.tol else 0
        best = min(best, model.loss_)
        last = epoch == epochs or since_best > model.n_iter_no_change
        judgement = _judgement(fitting, judged) if last or epoch % every == 0 else {}
        metrics = {"loss": float(model.loss_), **judgement}
        falling = "; the loss still falls, raise max_epochs" if last and since_best <= model.n_iter_no_change else ""
        fitting.tell(1.0 if last else epoch / epochs, metrics, epoch, f"{epoch}/{epochs} epochs{falling}")
        if last:
            break


def _judgement(fitting: Fitting, judged: np.ndarray | None) -> dict[str, float]:
    if judged is None:
        return {}
    return main_score(fitting.task, fitting.judge.target, fitting.estimator.predict(judged))
