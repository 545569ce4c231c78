"""Training: fit on the training rows, judge on the rows held out or by folds, keep the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.step_catalog import DEFAULT_CV_FOLDS
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure
from workers.steps.ml import estimators, models
from workers.steps.ml.columns import kinds
from workers.steps.ml.fitting import Fitting, Rows, Tell, fit
from workers.steps.ml.models import Model, ModelCard
from workers.steps.ml.preparation import Labelled, Prepared, prepared_data
from workers.steps.ml.reports import store_report
from workers.steps.ml.scores import MAIN_METRIC, all_scores, as_text

FOLDS_SHARE = 0.8
"""Of a training with cross-validation, how much of the bar the folds fill."""
_STATE = "model"
_STRATEGIES = ("holdout", "cross_validation")


def model_training(context: StepContext) -> Mapping[str, Json]:
    """Step: train on the training rows, judge on the held-out ones (with cross-validation on folds of the former, too).

    The model is kept as an artifact here, unless a later `model_storage` of the run does it.
    """
    model = train(context)
    scores = model.card.metrics
    context.report(progress=1.0, metrics=scores)
    context.log(as_text(model.card.task, scores))
    if "model_storage" not in context.later_steps():
        models.store(context, model)
        if "model_evaluation" not in context.later_steps():
            store_report(context, model, None)
    card = model.card
    size = {"rows": card.train_rows + card.test_rows, "features": len(card.features)}
    return {"model": f"{context.job_id}/{models.MODEL_FILE}", "algorithm": card.algorithm, **size, **scores}


def hyperparameter_trial(context: StepContext) -> Mapping[str, Json]:
    """Step: one trial of a search: the metrics of these parameters on held-out rows, or the mean over all folds."""
    prepared = prepared_data(context)
    estimator = _estimator(context, prepared.data)
    if _strategy(context.parameters) == "cross_validation":
        everything = np.arange(len(prepared.data.target))
        scores = _cross_validate(context, prepared, estimator, everything, 1.0, MAIN_METRIC[prepared.data.task])
    else:
        scores = dict(_fit_and_judge(context, prepared, estimator, 0.0).card.metrics)
    context.report(progress=1.0, metrics=scores, text=as_text(prepared.data.task, scores))
    context.log(as_text(prepared.data.task, scores))
    size = {"rows": len(prepared.data.target), "features": prepared.data.features.shape[1]}
    return {"algorithm": context.parameters.get("algorithm") or "random_forest", **size, **scores}


def train(context: StepContext) -> Model:
    """Train the run's model and remember it for the steps that follow."""
    prepared = prepared_data(context)
    estimator = _estimator(context, prepared.data)
    folds: dict[str, float] = {}
    if _strategy(context.parameters) == "cross_validation":
        name = f"cv_{MAIN_METRIC[prepared.data.task]}"
        folds = _cross_validate(context, prepared, estimator, prepared.train, FOLDS_SHARE, name)
        folds = {key if key.startswith("cv_") else f"cv_{key}": value for key, value in folds.items()}
    model = _fit_and_judge(context, prepared, estimator, FOLDS_SHARE if folds else 0.0, folds)
    context.state[_STATE] = model
    return model


def trained_model(context: StepContext) -> Model | None:
    """The model that this run trained; trained again when an earlier attempt did, since memory does not outlive one."""
    if _STATE not in context.state and "model_training" in context.run.completed_steps:
        context.log("the model of the earlier attempt is gone with its process; training it again")
        return train(context)
    found: Model | None = context.state.get(_STATE)
    return found


def _estimator(context: StepContext, data: Labelled) -> Any:
    return estimators.build(context.parameters, data.task, context.threads)


def _strategy(parameters: Mapping[str, Json]) -> str:
    wanted = parameters.get("validation_strategy") or "holdout"
    if wanted not in _STRATEGIES:
        raise PermanentFailure("validation_strategy: " + unknown_name("strategy", str(wanted), _STRATEGIES)[0])
    return str(wanted)


def _fit_and_judge(
    context: StepContext, prepared: Prepared, estimator: Any, start: float, folds: Mapping[str, float] | None = None
) -> Model:
    data = prepared.data
    train, test = _rows(data, prepared.train), _rows(data, prepared.test)
    tell = _teller(context, start, 1.0)
    pipeline = fit(Fitting(estimator, prepared.preprocessing, data.task, train, test, tell))
    scores = {**all_scores(data.task, pipeline, test.features, test.target), **(folds or {})}
    return Model(pipeline, _card(context, prepared, estimator, scores))


def _cross_validate(
    context: StepContext, prepared: Prepared, estimator: Any, rows: np.ndarray, share: float, name: str
) -> dict[str, float]:
    """Mean of every metric over the folds of `rows`, and the main one's spread, reported meanwhile as `name`."""
    data = prepared.data
    main = MAIN_METRIC[data.task]
    folds = _folds(context.parameters, data, rows, prepared.seed)
    scores: list[dict[str, float]] = []
    for n, (train, test) in enumerate(folds, start=1):
        model, judged = clone(estimator), _rows(data, rows[test])
        quiet = Fitting(model, prepared.preprocessing, data.task, _rows(data, rows[train]), judged, _stopper(context))
        scores.append(all_scores(data.task, fit(quiet), judged.features, judged.target))
        mean = float(np.mean([each[main] for each in scores if main in each]))
        context.report(progress=share * n / len(folds), metrics={name: mean}, step=n, text=f"{n}/{len(folds)} folds")
    means = {key: float(np.mean([each[key] for each in scores])) for key in scores[0] if all(key in s for s in scores)}
    return {**means, f"{main}_std": float(np.std([each[main] for each in scores if main in each]))}


def _folds(
    parameters: Mapping[str, Json], data: Labelled, rows: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    count = parameters.get("cv_folds") or DEFAULT_CV_FOLDS
    if not isinstance(count, int) or not 2 <= count <= len(rows):
        raise PermanentFailure(f"cv_folds must be a whole number from 2 to the {len(rows)} rows there are, got {count}")
    target = data.target[rows]
    stratified = data.task == "classification" and np.unique(target, return_counts=True)[1].min() >= count
    kind = StratifiedKFold if stratified else KFold
    return list(kind(count, shuffle=True, random_state=seed).split(rows, target))


def _rows(data: Labelled, rows: np.ndarray) -> Rows:
    return Rows(data.features.iloc[rows], data.target[rows])


def _teller(context: StepContext, start: float, end: float) -> Tell:
    def tell(progress: float, metrics: Mapping[str, float], n: int, text: str) -> None:
        context.stop_if_asked()
        context.report(start + (end - start) * progress, metrics, n, text)

    return tell


def _stopper(context: StepContext) -> Tell:
    """Hears of a fold's training only to end it when the run is asked to end."""
    return lambda *_: context.stop_if_asked()


def _card(context: StepContext, prepared: Prepared, estimator: Any, scores: Mapping[str, float]) -> ModelCard:
    data = prepared.data
    return ModelCard(
        algorithm=context.parameters.get("algorithm") or "random_forest",
        task=data.task,
        dataset=data.dataset,
        target_column=data.target_column,
        features=tuple(data.features.columns),
        numeric_features=kinds(data.features).numeric,
        preprocessing_steps=prepared.preprocessing,
        fingerprint=data.fingerprint,
        seed=prepared.seed,
        test_split=prepared.test_split,
        train_rows=len(prepared.train),
        test_rows=len(prepared.test),
        parameters=_plain(estimator.get_params()),
        metrics=dict(scores),
        job_id=context.job_id,
        run_no=context.run_no,
        sklearn_version=sklearn.__version__,
    )


def _plain(parameters: Mapping[str, Any]) -> dict[str, Json]:
    simple = (str, int, float, bool, type(None))
    return {name: value if isinstance(value, simple) else str(value) for name, value in parameters.items()}
