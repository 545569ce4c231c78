"""Models as files: skops, never pickle, and loaded only with the types that we know their algorithm to need.

A model file carries its *card* inside: what it was trained on and how, so that one artifact is enough to evaluate it or
predict with it on any node. Nothing that a file asks for is trusted because it asks.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import skops.io
from sklearn.pipeline import Pipeline

from app.domain.json import Json
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure

MODEL_FILE = "model.skops"
CARD_FILE = "model.json"
_CARD_IN_MODEL = "tensorfleet/model.json"

_TREES = frozenset({"sklearn.tree._tree.Tree"})
_EVERY = frozenset(
    {
        "numpy.dtype",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
    }
)
TRUSTED: Mapping[str, frozenset[str]] = {
    "random_forest": _EVERY | _TREES,
    "decision_tree": _EVERY | _TREES,
    "gradient_boosting": _EVERY | _TREES,
    "logistic_regression": _EVERY,
    "svm": _EVERY,
    "knn": _EVERY
    | {
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    },
    "dnn": _EVERY
    | {
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    },
    "cnn": _EVERY
    | {
        "workers.steps.ml.convolution.ConvolutionClassifier",
        "workers.steps.ml.convolution.ConvolutionRegressor",
    },
}
"""The types beyond skops' own that each algorithm's pipelines hold, as read from scikit-learn."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is. With `fingerprint`, `seed` and `test_split` its held-out rows can be found again."""

    algorithm: str
    task: str
    dataset: str
    target_column: str
    features: tuple[str, ...]
    numeric_features: tuple[str, ...]
    preprocessing_steps: tuple[str, ...]
    fingerprint: str
    seed: int
    test_split: float
    train_rows: int
    test_rows: int
    parameters: Mapping[str, Json]
    metrics: Mapping[str, float]
    job_id: str
    run_no: int
    sklearn_version: str

    def to_json(self) -> dict[str, Json]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Json]) -> ModelCard:
        lists = ("features", "numeric_features", "preprocessing_steps")
        fields: dict[str, Any] = {name: tuple(value) if name in lists else value for name, value in raw.items()}
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted pipeline, from raw columns to predictions, and its card."""

    pipeline: Pipeline
    card: ModelCard

    @property
    def estimator(self) -> Any:
        return self.pipeline.named_steps["model"]


def store(context: StepContext, model: Model) -> Path:
    """Keep the model as artifacts `model.skops` and `model.json`; returns the path of the former."""
    path = context.work_dir / MODEL_FILE
    skops.io.dump(model.pipeline, path, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    _refuse_untrusted(path, model.card.algorithm)
    card = orjson.dumps(model.card.to_json(), option=orjson.OPT_INDENT_2)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_CARD_IN_MODEL, card)
    beside = context.work_dir / CARD_FILE
    beside.write_bytes(card)
    context.artifact(CARD_FILE, beside, kind="model_card")
    return context.artifact(MODEL_FILE, path, kind="model")


def load(path: Path) -> Model:
    """Read a model that `store` wrote: its file, or the folder with it. Raises PermanentFailure for any other file."""
    file = path / MODEL_FILE if path.is_dir() else path
    try:
        with zipfile.ZipFile(file) as archive:
            card = ModelCard.from_json(orjson.loads(archive.read(_CARD_IN_MODEL)))
        pipeline = skops.io.load(file, trusted=sorted(TRUSTED.get(card.algorithm, _EVERY)))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise PermanentFailure(f"{file.name} is not a model that this service can load: {error}") from error
    return Model(pipeline, card)


def _refuse_untrusted(path: Path, algorithm: str) -> None:
    unknown = set(skops.io.get_untrusted_types(file=path)) - TRUSTED[algorithm]
    if unknown:
        named = ", ".join(sorted(unknown))
        raise PermanentFailure(f"a {algorithm} with these hyperparameters cannot be stored safely (it holds {named})")
