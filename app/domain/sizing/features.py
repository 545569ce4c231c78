"""What of a training decides how much it needs, as numbers: of its data, and of its parameters.

Data is known from the built-in facts, from what the file said when it was registered, or from an earlier run that read
it. What nobody knows is assumed, and named. Parameters are a user's: whatever they hold, they become bounded numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

from app.domain.datasets import BUILT_IN
from app.domain.json import Json
from app.domain.step_catalog import DEFAULT_CV_FOLDS, DEFAULT_TEST_SPLIT, STEP_PARAMETERS
from app.domain.templates import Template

TRAINS = frozenset({"model_training", "hyperparameter_trial"})
ASSUMED_ROWS, ASSUMED_COLUMNS = 10_000.0, 20.0
"""Of data that nobody has seen."""
MOST = 1e9
_AMOUNTS = ("rows", "columns", "trees", "depth", "epochs", "batch", "weights", "iterations", "queries", "folds")
_OUTPUTS = 10
"""Values that a network gives out, more or less."""
_DEFAULT_TREES, _BOOSTED_DEPTH = 100, 3
_LINEAR_ITERATIONS, _EPOCHS, _CNN_EPOCHS = 1_000, 100, 30
"""Defaults of the estimators as the steps make them."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What is known of a table; `columns` without the target; `continuous`: its target is a continuous number."""

    rows: float | None = None
    columns: float | None = None
    continuous: bool | None = None

    @property
    def complete(self) -> bool:
        """Whether its size is known."""
        return self.rows is not None and self.columns is not None


NOTHING_KNOWN = TableFacts()


@dataclass(frozen=True, slots=True)
class Features:
    """A training as numbers; 0 where the algorithm has no such thing. `depth` 0: as deep as it goes; `weights` of a
    network; `queries`: rows predicted; `folds`: how often all is repeated; `assumed`: names of what is not known."""

    algorithm: str
    rows: float
    columns: float
    trees: float = 0.0
    depth: float = 0.0
    epochs: float = 0.0
    batch: float = 0.0
    weights: float = 0.0
    iterations: float = 0.0
    queries: float = 0.0
    folds: float = 1.0
    continuous: bool = False
    gpu: bool = False
    assumed: tuple[str, ...] = ()

    def parts(self) -> dict[str, Json]:
        """The JSON form; what is the default is left out."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {**found, "assumed": list(self.assumed)} if self.assumed else found

    @classmethod
    def from_parts(cls, parts: Mapping[str, Json]) -> Features:
        """Raises TypeError, ValueError or KeyError for what `parts` has not made."""
        known: dict[str, Any] = {name: _checked(parts[name]) for name in _AMOUNTS if name in parts}
        known |= {name: bool(parts[name]) for name in ("continuous", "gpu") if name in parts}
        return cls(str(parts["algorithm"]), **known, assumed=tuple(map(str, parts.get("assumed", ()))))

    def numbers(self) -> dict[str, float]:
        """What a regression is made on: the logarithms of all amounts that there are."""
        return {name: math.log(value) for name in _AMOUNTS if (value := getattr(self, name)) > 0}


def _checked(value: Json) -> float:
    if not 0 <= value <= MOST:
        raise ValueError(f"not an amount: {value!r:.40}")
    return float(value)


def is_modelled(template: Template) -> bool:
    """Whether a prior can say what a job of the template needs: it trains, and does nothing that is not built in."""
    steps = template.step_names
    return not TRAINS.isdisjoint(steps) and all(step in STEP_PARAMETERS for step in steps)


def facts_of(dataset: str | None, registered: Mapping[str, Json] | None) -> TableFacts:
    """What is known of a data set without reading it: a built-in one, or one with registered facts."""
    if known := BUILT_IN.get(dataset or ""):
        return TableFacts(known.rows, known.features, known.task == "regression")
    facts = registered or {}
    continuous = {"regression": True, "classification": False}.get(str(facts.get("task")))
    return TableFacts(_amount(facts.get("rows")), _amount(facts.get("features")), continuous)


def features_of(parameters: Mapping[str, Json], facts: TableFacts, *, gpu: bool = False) -> Features:
    """A training with these resolved parameters, on that table."""
    own = parameters.get("hyperparameters")
    given = {**parameters, **(own if isinstance(own, Mapping) else {})}
    named = parameters.get("algorithm")
    algorithm = named if isinstance(named, str) else "random_forest"
    rows, columns = facts.rows or ASSUMED_ROWS, facts.columns or ASSUMED_COLUMNS
    split = _number(parameters.get("test_split"), DEFAULT_TEST_SPLIT, least=0.0)
    return Features(
        algorithm=algorithm,
        rows=rows,
        columns=columns,
        queries=max(1.0, rows * min(split, 1.0)),
        folds=_folds(parameters),
        continuous=_is_continuous(parameters, facts),
        gpu=gpu,
        assumed=() if facts.complete else tuple(name for name in ("rows", "columns") if getattr(facts, name) is None),
        **_shape(algorithm, rows, columns, given),
    )


def as_measured(features: Features, result: Mapping[str, Json] | None) -> Features:
    """The same with the size of the data as the steps of the run have told it, where they have."""
    steps = (result or {}).get("steps")
    for outputs in steps.values() if isinstance(steps, Mapping) else ():
        if not isinstance(outputs, Mapping):
            continue
        rows, columns = _amount(outputs.get("rows")), _amount(outputs.get("features"))
        if rows is not None and columns is not None:
            return _of_size(features, rows, columns)
    return features


def _of_size(features: Features, rows: float, columns: float) -> Features:
    scale = rows / features.rows
    return replace(features, rows=rows, columns=columns, queries=max(1.0, features.queries * scale), assumed=())


def _shape(algorithm: str, rows: float, columns: float, given: Mapping[str, Json]) -> dict[str, Json]:
    """What the parameters say of the model, as far as the algorithm reads it."""
    match algorithm:
        case "random_forest":
            return {"trees": _number(given.get("n_estimators"), _DEFAULT_TREES), "depth": _depth(given, 0.0)}
        case "decision_tree":
            return {"trees": 1.0, "depth": _depth(given, 0.0)}
        case "gradient_boosting" | "hist_gradient_boosting":
            depth = _depth(given, float(_BOOSTED_DEPTH))
            return {"trees": _number(given.get("n_estimators"), _DEFAULT_TREES), "depth": depth}
        case "logistic_regression":
            return {"iterations": _number(given.get("max_iter"), _LINEAR_ITERATIONS)}
        case "dnn":
            return _network(rows, given, _EPOCHS, min(200.0, rows), _dense_weights(columns, given))
        case "cnn":
            return _network(rows, given, _CNN_EPOCHS, 32.0, _convolution_weights(columns, given))
    return {}


def _network(rows: float, given: Mapping[str, Json], epochs: float, batch: float, weights: float) -> dict[str, float]:
    said = given.get("max_iter") if given.get("max_epochs") is None else given.get("max_epochs")
    size = min(_number(given.get("batch_size"), batch), rows)
    return {"epochs": _number(said, epochs), "batch": max(1.0, size), "weights": weights}


def _dense_weights(columns: float, given: Mapping[str, Json]) -> float:
    said = given.get("hidden_layer_sizes")
    layers = list(said)[:50] if isinstance(said, (list, tuple)) else [said]
    widths = [columns, *(_number(width, 100.0) for width in layers), float(_OUTPUTS)]
    return min(MOST, sum(a * b for a, b in pairwise(widths)))


def _convolution_weights(columns: float, given: Mapping[str, Json]) -> float:
    """Two convolutions with a window of three by three, pooling by two, a hidden layer (`workers/steps/ml`)."""
    channels, hidden = _number(given.get("channels"), 16.0), _number(given.get("hidden"), 64.0)
    flat = 2 * channels * max(1.0, columns / 4)
    return min(MOST, 9 * channels + 18 * channels**2 + flat * hidden + hidden * _OUTPUTS)


def _depth(given: Mapping[str, Json], default: float) -> float:
    return _number(given.get("max_depth"), default, least=0.0)


def _folds(parameters: Mapping[str, Json]) -> float:
    if parameters.get("validation_strategy") != "cross_validation":
        return 1.0
    return min(_number(parameters.get("cv_folds"), DEFAULT_CV_FOLDS), 100.0)


def _is_continuous(parameters: Mapping[str, Json], facts: TableFacts) -> bool:
    task = parameters.get("task")
    return task == "regression" if task in ("regression", "classification") else bool(facts.continuous)


def _number(value: Json, default: float, least: float = 1.0) -> float:
    """A number of a user within bounds; the default for whatever is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return float(default)
    return float(min(max(value, least), MOST))


def _amount(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MOST:
        return None
    return float(value)
