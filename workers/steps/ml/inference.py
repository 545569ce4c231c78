"""Predicting every row of a data set with a stored model, some thousand rows at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from app.domain.json import Json
from workers.steps.context import StepContext
from workers.steps.ml.columns import as_features
from workers.steps.ml.inputs import chosen_model, model_features
from workers.steps.ml.models import Model
from workers.steps.ml.preparation import dataset_name, load

BATCH_ROWS = 10_000
PREDICTIONS_FILE = "predictions.csv"


def batch_inference(context: StepContext) -> Mapping[str, Json]:
    """Step: `predictions.csv`, a line a row: number, prediction, and the classes' probabilities if there are any."""
    model = chosen_model(context)
    dataset = load(context, dataset_name(context.parameters), context.parameters.get("target_column"))
    known = [name for name in dataset.frame.columns if name in model.card.features]
    features = model_features(model, as_features(dataset.frame[known]))
    path = context.work_dir / PREDICTIONS_FILE
    _predict_to(path, context, model, features)
    context.artifact(PREDICTIONS_FILE, path, kind="predictions")
    context.log(f"{len(features)} rows predicted")
    return {
        "predictions": f"{context.job_id}/{PREDICTIONS_FILE}",
        "dataset": dataset.name,
        "rows": len(features),
        "algorithm": model.card.algorithm,
    }


def _predict_to(path: Path, context: StepContext, model: Model, features: pd.DataFrame) -> None:
    size = int(context.parameters.get("batch_size") or BATCH_ROWS)
    total = len(features)
    for start in range(0, total, size):
        context.stop_if_asked()
        batch = features.iloc[start : start + size]
        first = start == 0
        _predictions(model, batch).to_csv(path, mode="w" if first else "a", header=first, index_label="row")
        done = start + len(batch)
        context.report(progress=done / total, text=f"{done}/{total} rows")


def _predictions(model: Model, batch: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"prediction": model.pipeline.predict(batch)}, index=batch.index)
    if hasattr(model.pipeline, "predict_proba"):
        probabilities = model.pipeline.predict_proba(batch)
        for n, label in enumerate(model.pipeline.classes_):
            table[f"probability_{label}"] = probabilities[:, n]
    return table
