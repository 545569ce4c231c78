"""Judging a model on rows that it has not seen, and storing it.

The rows held out in training are found again by the model's card. When other rows are asked for, those that the model
was trained on are counted and said; of another data set nobody knows, and that is said, too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.domain.json import Json
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure
from workers.steps.ml import models
from workers.steps.ml.fitting import Rows
from workers.steps.ml.inputs import chosen_model, model_features
from workers.steps.ml.models import Model
from workers.steps.ml.preparation import Labelled, checked_split, labelled, split_rows
from workers.steps.ml.reports import METRICS_FILE, REPORT_FILE, Evaluation, store_report
from workers.steps.ml.scores import all_scores, as_text, detail

_STATE = "evaluation"


def model_evaluation(context: StepContext) -> Mapping[str, Json]:
    """Step: the metrics of the run's model, or of a stored one (parameter `model`), on held-out rows."""
    model = chosen_model(context)
    context.report(progress=0.2)
    evaluation = _evaluate(context, model)
    context.state[_STATE] = evaluation
    text = as_text(model.card.task, evaluation.metrics)
    context.log(f"{text} · {_seen(evaluation)}")
    context.report(progress=1.0, metrics=evaluation.metrics, text=text)
    if "model_storage" not in context.later_steps():
        store_report(context, model, evaluation)
    return {"dataset": evaluation.dataset, "rows": evaluation.rows, "overlap": evaluation.overlap, **evaluation.metrics}


def model_storage(context: StepContext) -> Mapping[str, Json]:
    """Step: keep the model and its report as artifacts."""
    model = chosen_model(context)
    path = models.store(context, model)
    store_report(context, model, context.state.get(_STATE))
    size = path.stat().st_size
    text = f"{models.MODEL_FILE} {max(1, round(size / 1000))} KB · {REPORT_FILE}"
    context.log(text)
    context.report(progress=1.0, text=text)
    return {
        "model": f"{context.job_id}/{models.MODEL_FILE}",
        "model_bytes": size,
        "artifacts": [models.MODEL_FILE, models.CARD_FILE, REPORT_FILE, METRICS_FILE],
    }


def _evaluate(context: StepContext, model: Model) -> Evaluation:
    card = model.card
    asked = context.parameters.get("dataset_name") or context.parameters.get("dataset")
    target = context.parameters.get("target_column") or card.target_column
    data = labelled(context, asked or card.dataset, target, card.task)
    chosen, overlap = _chosen_rows(context, model, data)
    rows = Rows(model_features(model, data.features.iloc[chosen]), _comparable(model, data.target[chosen]))
    predicted = model.pipeline.predict(rows.features)
    scores = all_scores(card.task, model.pipeline, rows.features, rows.target)
    return Evaluation(data.dataset, len(chosen), overlap, scores, detail(card.task, rows.target, predicted))


def _chosen_rows(context: StepContext, model: Model, data: Labelled) -> tuple[np.ndarray, int | None]:
    """The rows to judge on and how many of them were trained on."""
    card = model.card
    if data.fingerprint != card.fingerprint:
        return np.arange(len(data.target)), None
    trained, held_out = split_rows(data.target, data.task, card.test_split, card.seed)
    given = context.parameters.get("test_split")
    if given is None or checked_split(given) == card.test_split:
        return held_out, 0
    _, other = split_rows(data.target, data.task, checked_split(given), card.seed)
    return other, len(np.intersect1d(other, trained))


def _comparable(model: Model, truth: np.ndarray) -> np.ndarray:
    """The target in the type of the model's classes: whole numbers and text do not compare."""
    if model.card.task == "regression" or model.pipeline.classes_.dtype.kind == truth.dtype.kind:
        return truth
    if model.pipeline.classes_.dtype.kind == "U":
        return truth.astype(str)
    raise PermanentFailure(
        f"the target holds text such as {str(truth[0])[:40]!r}, but the model was trained on whole numbers"
    )


def _seen(evaluation: Evaluation) -> str:
    if evaluation.overlap is None:
        return f"{evaluation.rows} rows of other data than the model was trained on"
    if evaluation.overlap == 0:
        return f"{evaluation.rows} rows held out in training"
    return f"{evaluation.overlap} of the {evaluation.rows} rows overlap with those trained on"
