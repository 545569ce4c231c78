"""What a step that uses a model starts from: the model, and a table with the columns that it knows."""

from __future__ import annotations

import pandas as pd

from app.domain.nearest import nearest_name, unknown_name
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure
from workers.steps.ml import models
from workers.steps.ml.columns import check_features, kinds
from workers.steps.ml.models import Model
from workers.steps.ml.training import trained_model


def chosen_model(context: StepContext) -> Model:
    """The model that this run trained, else the stored one that `model` names. Raises PermanentFailure."""
    trained = trained_model(context)
    if trained is not None:
        return trained
    reference = context.parameters.get("model")
    if not reference:
        raise PermanentFailure("model is missing; name one as {job_id} or {job_id}/{artifact}, or train one in the job")
    path = context.run.models.get(reference)
    if path is None:
        known = context.run.models
        raise PermanentFailure("model: " + unknown_name("model", str(reference), known)[0])
    return models.load(path)


def model_features(model: Model, features: pd.DataFrame) -> pd.DataFrame:
    """The model's columns of a table, in its order. Raises PermanentFailure for a missing or different column."""
    card = model.card
    for name in card.features:
        if name not in features.columns:
            near = nearest_name(name, features.columns)
            hint = f"; is it {near!r} there?" if near else ""
            raise PermanentFailure(f"the model needs the column {name!r}, which the data set has not{hint}")
    table = features[list(card.features)]
    differing = set(kinds(table).numeric) ^ set(card.numeric_features)
    if differing:
        name = min(differing)
        here, there = ("text", "numbers") if name in card.numeric_features else ("numbers", "text")
        raise PermanentFailure(f"column {name!r} holds {here}, but the model was trained on {there}")
    check_features(table, card.preprocessing_steps)
    return table
