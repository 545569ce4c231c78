"""`report.json` and `metrics.json`: what a run found out about its model, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from app.domain.json import Json
from workers.steps.context import StepContext
from workers.steps.ml.models import Model

REPORT_FILE = "report.json"
METRICS_FILE = "metrics.json"
MOST_IMPORTANT = 100


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model judged on `rows` rows of a data set. `overlap` of them were trained on; None when nobody can know."""

    dataset: str
    rows: int
    overlap: int | None
    metrics: Mapping[str, float]
    detail: Mapping[str, Json] = field(default_factory=dict)


def store_report(context: StepContext, model: Model, evaluation: Evaluation | None) -> None:
    """Keep both files as artifacts. Without an evaluation the metrics are those of the training."""
    card = model.card.to_json()
    metrics = dict(evaluation.metrics if evaluation else model.card.metrics)
    report = {
        "metrics": metrics,
        "model": card,
        "rows": {"train": model.card.train_rows, "test": model.card.test_rows},
        "evaluation": _evaluation(evaluation),
        "feature_importances": feature_importances(model),
    }
    for name, content, kind in ((REPORT_FILE, report, "report"), (METRICS_FILE, metrics, "metrics")):
        path = context.work_dir / name
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
        context.artifact(name, path, kind=kind)


def feature_importances(model: Model) -> list[dict[str, Json]] | None:
    """The features by weight, the heaviest first; None for algorithms that have no weights."""
    weights = _weights(model.estimator)
    if weights is None:
        return None
    names = model.pipeline.named_steps["preprocessing"].get_feature_names_out()
    order = np.argsort(-weights, kind="stable")[:MOST_IMPORTANT]
    return [{"feature": str(names[n]), "importance": float(weights[n])} for n in order]


def _weights(estimator: Any) -> np.ndarray | None:
    if hasattr(estimator, "feature_importances_"):
        return np.asarray(estimator.feature_importances_)
    if hasattr(estimator, "coef_"):
        return np.asarray(np.abs(np.atleast_2d(estimator.coef_)).mean(axis=0))
    return None


def _evaluation(evaluation: Evaluation | None) -> dict[str, Json] | None:
    if evaluation is None:
        return None
    counted = {"dataset": evaluation.dataset, "rows": evaluation.rows, "overlap": evaluation.overlap}
    return {**counted, **evaluation.detail}
