"""Data made ready: read, checked, split by seed. What the other steps of a run start from, alone or one after another.

The split is a function of (rows, target, `test_split`, `seed`), so that a later evaluation, on another node, finds the
same held-out rows again. Whatever learns from data, scaling included, sees the training rows only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from app.domain.json import Json
from app.domain.step_catalog import DEFAULT_TEST_SPLIT
from workers.datasets import Dataset, DatasetResolver
from workers.steps.context import StepContext
from workers.steps.failures import PermanentFailure
from workers.steps.ml import preprocessing
from workers.steps.ml.columns import as_features, as_target, check_features, kinds, needed_preprocessing, task_of

LEAST_ROWS = 5
_STATE = "prepared"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A data set as features and target, rows without a target left out. `fingerprint` tells equal data."""

    dataset: str
    features: pd.DataFrame
    target: np.ndarray
    target_column: str
    task: str
    fingerprint: str

    def summary(self) -> str:
        """`150 rows, 4 features, 3 classes`."""
        classes = len(np.unique(self.target))
        kind = "continuous target" if self.task == "regression" else f"{classes} classes"
        return f"{len(self.target)} rows, {self.features.shape[1]} features, {kind}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Labelled data, split: `train` and `test` are row numbers."""

    data: Labelled
    preprocessing: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    seed: int
    test_split: float


def data_preparation(context: StepContext) -> Mapping[str, Json]:
    """Step: read, check and split the data set. The steps after it in the run use what it read."""
    prepared = prepared_data(context)
    data = prepared.data
    context.log(data.summary())
    context.report(progress=1.0, text=data.summary())
    return {
        "dataset": data.dataset,
        "target_column": data.target_column,
        "task": data.task,
        "rows": len(data.target),
        "features": data.features.shape[1],
        "train_rows": len(prepared.train),
        "test_rows": len(prepared.test),
    }


def data_preprocessing(context: StepContext) -> Mapping[str, Json]:
    """Step: transform the data set and keep it as `dataset.parquet`, the target last.

    Without `preprocessing_steps` it does what the columns need: impute for gaps, one_hot for text.
    """
    data = labelled(context, dataset_name(context.parameters), context.parameters.get("target_column"))
    given = context.parameters.get("preprocessing_steps")
    steps = needed_preprocessing(data.features) if given is None else preprocessing.chosen_steps(given)
    prepared = _split(context, data, steps)
    context.report(progress=0.3, text=data.summary())
    table = _transformed(prepared)
    path = context.work_dir / "dataset.parquet"
    table.to_parquet(path, index=False)
    context.artifact("dataset.parquet", path, kind="dataset")
    text = f"{len(table)} rows, {table.shape[1] - 1} features, {', '.join(steps) or 'nothing to do'}"
    context.log(text)
    context.report(progress=1.0, text=text)
    return {
        "dataset": f"{context.job_id}/dataset.parquet",
        "source": data.dataset,
        "target_column": data.target_column,
        "rows": len(table),
        "columns": list(table.columns),
        "preprocessing_steps": list(steps),
    }


def prepared_data(context: StepContext) -> Prepared:
    """The run's data, read once: from the step before, or now. Raises PermanentFailure or BadDataset."""
    if _STATE not in context.state:
        name = dataset_name(context.parameters)
        data = labelled(context, name, context.parameters.get("target_column"))
        steps = preprocessing.chosen_steps(context.parameters.get("preprocessing_steps"))
        context.state[_STATE] = _split(context, data, steps)
    prepared: Prepared = context.state[_STATE]
    return prepared


def dataset_name(parameters: Mapping[str, Json]) -> str:
    """The data set asked for. Raises PermanentFailure when there is none."""
    name = parameters.get("dataset_name") or parameters.get("dataset")
    if not isinstance(name, str):
        raise PermanentFailure("dataset_name is missing; name a data set such as iris, or a file under the data root")
    return name


def load(context: StepContext, name: str, target_column: str | None) -> Dataset:
    """Read a data set as this run sees them. Raises BadDataset."""
    return DatasetResolver(context.run.data_root, context.run.datasets).load(name, target_column)


def labelled(context: StepContext, name: str, target_column: str | None, task: str | None = None) -> Labelled:
    """A data set with its target apart; `task` fixes what else the target decides."""
    dataset = load(context, name, target_column)
    frame = dataset.frame[dataset.frame[dataset.target_column].notna()].reset_index(drop=True)
    if dropped := len(dataset.frame) - len(frame):
        context.log(f"{dropped} rows without a value of {dataset.target_column} were left out")
    if len(frame) < LEAST_ROWS:
        raise PermanentFailure(f"{name} has {len(frame)} rows with a target; at least {LEAST_ROWS} are needed")
    column = frame[dataset.target_column]
    decided = task_of(column, task or context.parameters.get("task") or "auto")
    features, target = as_features(frame.drop(columns=dataset.target_column)), as_target(column, decided)
    if decided == "classification" and len(np.unique(target)) < 2:
        raise PermanentFailure(f"the target {dataset.target_column!r} has one value only; there is nothing to learn")
    return Labelled(name, features, target, dataset.target_column, decided, _fingerprint(features, target))


def split_rows(target: np.ndarray, task: str, test_split: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (train, test); the classes in equal shares where each is large enough."""
    rows, held_out = len(target), math.ceil(len(target) * test_split)
    stratify = None
    if task == "classification":
        classes, counts = np.unique(target, return_counts=True)
        if counts.min() >= 2 and min(held_out, rows - held_out) >= len(classes):
            stratify = target
    train, test = train_test_split(np.arange(rows), test_size=held_out, random_state=seed, stratify=stratify)
    return train, test


def checked_split(given: Json) -> float:
    """The parameter `test_split`. Raises PermanentFailure when it is no number between 0 and 1."""
    share = DEFAULT_TEST_SPLIT if given is None else given
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise PermanentFailure(f"test_split must be a number between 0 and 1, got {str(given)[:40]}")
    return float(share)


def _split(context: StepContext, data: Labelled, steps: tuple[str, ...]) -> Prepared:
    check_features(data.features, steps)
    share = checked_split(context.parameters.get("test_split"))
    seed = int(context.parameters.get("seed") or 0)
    train, test = split_rows(data.target, data.task, share, seed)
    return Prepared(data, steps, train, test, seed, share)


def _transformed(prepared: Prepared) -> pd.DataFrame:
    data, train = prepared.data, prepared.train
    transformer = preprocessing.build(kinds(data.features), prepared.preprocessing, data.task)
    try:
        transformer.fit(data.features.iloc[train], data.target[train])
    except (ValueError, TypeError) as error:
        raise PermanentFailure(f"preprocessing: {error}") from error
    table = pd.DataFrame(transformer.transform(data.features), columns=transformer.get_feature_names_out())
    if data.target_column in table.columns:
        raise PermanentFailure(f"preprocessing makes a column named like the target, {data.target_column!r}; rename it")
    table[data.target_column] = data.target
    return table


def _fingerprint(features: pd.DataFrame, target: np.ndarray) -> str:
    digest = hashlib.sha256("\0".join(features.columns).encode())
    for part in (features, pd.Series(target)):
        digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
    return digest.hexdigest()
