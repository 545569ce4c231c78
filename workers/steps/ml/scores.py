"""How good predictions are: the metrics of a classification or a regression, and what a report shows beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import metrics

from app.domain.json import Json

MAIN_METRIC: Mapping[str, str] = {"classification": "accuracy", "regression": "r2"}
_SHOWN = {"classification": ("accuracy", "f1_macro"), "regression": ("r2", "rmse", "mae")}
MAX_CLASSES_SHOWN = 50


def main_score(task: str, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The one metric that is watched while training: accuracy, or r2."""
    if task == "regression":
        return {"r2": float(metrics.r2_score(truth, predicted)) if len(truth) > 1 else float("nan")}
    return {"accuracy": float(metrics.accuracy_score(truth, predicted))}


def all_scores(task: str, model: Any, features: Any, truth: np.ndarray) -> dict[str, float]:
    """All metrics of a fitted model on these rows. Values that a metric cannot have here are left out."""
    predicted = model.predict(features)
    if task == "regression":
        scores = {
            **main_score(task, truth, predicted),
            "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
            "mae": float(metrics.mean_absolute_error(truth, predicted)),
        }
    else:
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, predicted, average="macro", zero_division=0
        )
        scores = {
            **main_score(task, truth, predicted),
            "f1_macro": float(f1),
            "precision_macro": float(precision),
            "recall_macro": float(recall),
            **_probability_scores(model, features, truth),
        }
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _probability_scores(model: Any, features: Any, truth: np.ndarray) -> dict[str, float]:
    classes = model.classes_
    if not np.isin(truth, classes).all():
        return {}
    scores: dict[str, float] = {}
    if hasattr(model, "predict_proba"):
        probability = model.predict_proba(features)
        scores["log_loss"] = float(metrics.log_loss(truth, probability, labels=classes))
        ranking = probability[:, 1] if len(classes) == 2 else None
    else:
        ranking = model.decision_function(features) if len(classes) == 2 else None
    if ranking is not None and len(np.unique(truth)) == 2:
        scores["roc_auc"] = float(metrics.roc_auc_score(truth == classes[1], ranking))
    return scores


def detail(task: str, truth: np.ndarray, predicted: np.ndarray) -> dict[str, Json]:
    """What a report shows beside the metrics: the confusion matrix, or how the residuals are spread."""
    if task == "regression":
        residuals = truth - predicted
        low, middle, high = np.percentile(residuals, [5, 50, 95])
        spread = {"mean": residuals.mean(), "std": residuals.std(), "p05": low, "p50": middle, "p95": high}
        return {"residuals": {**{k: float(v) for k, v in spread.items()}, "max_abs": float(np.abs(residuals).max())}}
    labels = np.unique(np.concatenate([truth, predicted]))
    if len(labels) > MAX_CLASSES_SHOWN:
        return {"confusion_matrix": None}
    matrix = metrics.confusion_matrix(truth, predicted, labels=labels)
    return {"confusion_matrix": {"labels": labels.tolist(), "matrix": matrix.tolist()}}


def as_text(task: str, scores: Mapping[str, float]) -> str:
    """`accuracy 0.967 · f1_macro 0.966`."""
    return " · ".join(f"{name} {scores[name]:.3f}" for name in _SHOWN[task] if name in scores)
