"""Columns as an estimator can take them: numbers or text, checked before anything is trained.

What is wrong with the data is said here in the words of the user's file (which column, how many rows, which
preprocessing step), since the estimator's own words come late and name neither.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api import types

from workers.steps.failures import PermanentFailure

MANY_VALUES = 20
MANY_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Columns:
    """The feature columns by kind, each in the table's order."""

    numeric: tuple[str, ...]
    text: tuple[str, ...]


def as_features(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with two kinds of columns only: float64 (missing: NaN) and objects holding str (missing: NaN).

    Raises PermanentFailure for a column that is neither, such as a date.
    """
    return pd.DataFrame({name: _as_feature(frame[name]) for name in frame.columns}, index=frame.index)


def _as_feature(column: pd.Series) -> pd.Series:
    if types.is_numeric_dtype(column.dtype) and not types.is_complex_dtype(column.dtype):
        return column.astype("float64")
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        raise PermanentFailure(f"column {column.name!r} holds dates or durations; make it numbers, or leave it out")
    values = [np.nan if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
    return pd.Series(np.array(values, dtype=object), index=column.index, name=column.name, dtype=object)


def kinds(features: pd.DataFrame) -> Columns:
    """Which columns of `as_features` are numbers and which are text."""
    numeric = tuple(name for name in features.columns if features[name].dtype == np.float64)
    return Columns(numeric, tuple(name for name in features.columns if name not in set(numeric)))


def check_features(features: pd.DataFrame, preprocessing: Collection[str]) -> None:
    """Refuse what the estimators cannot take. Raises PermanentFailure naming the columns and the remedy."""
    columns = kinds(features)
    if columns.text and "one_hot" not in preprocessing:
        remedy = _suggested(preprocessing, "one_hot")
        raise PermanentFailure(f'text in {_listed(columns.text)}: add "one_hot" to preprocessing_steps: {remedy}')
    infinite = [name for name in columns.numeric if np.isinf(features[name]).any()]
    if infinite:
        raise PermanentFailure(f"Input X contains infinity in {_listed(infinite)}: remove or replace these values")
    missing = [name for name in features.columns if features[name].isna().any()]
    if missing and "impute" not in preprocessing:
        count = int(features[missing[0]].isna().sum())
        remedy = f'add "impute" to preprocessing_steps: {_suggested(preprocessing, "impute")}'
        raise PermanentFailure(f"Input X contains NaN in {_listed(missing)} ({count} rows of the first): {remedy}")


def needed_preprocessing(features: pd.DataFrame) -> tuple[str, ...]:
    """The steps without which `check_features` would refuse these columns."""
    impute = ("impute",) if features.isna().any().any() else ()
    return impute + (("one_hot",) if kinds(features).text else ())


def task_of(target: pd.Series, wanted: str) -> str:
    """`classification` or `regression`: as wanted, else by the target (fractions or many values: regression)."""
    numeric = types.is_numeric_dtype(target.dtype) and not types.is_bool_dtype(target.dtype)
    if wanted == "regression" and not numeric:
        raise PermanentFailure(f"the target {target.name!r} holds text and cannot be regressed; leave task out")
    if wanted in ("classification", "regression"):
        return wanted
    if not numeric:
        return "classification"
    values = target.astype("float64")
    distinct = values.nunique()
    fractions = bool((values != values.round()).any())
    many = distinct > max(MANY_VALUES, MANY_SHARE * len(values))
    return "regression" if many or (fractions and distinct > 2) else "classification"


def as_target(target: pd.Series, task: str) -> np.ndarray:
    """The target as an estimator takes it: floats, whole numbers, or unicode labels. No value may be missing.

    Whole numbers that a table holds as floats (a gap in the column makes them so) are whole numbers.
    """
    if task == "regression":
        values: np.ndarray = target.to_numpy(dtype="float64")
        if not np.isfinite(values).all():
            raise PermanentFailure(f"the target {target.name!r} contains infinity: remove these rows")
        return values
    if (
        types.is_numeric_dtype(target.dtype)
        and not types.is_bool_dtype(target.dtype)
        and (target == target.round()).all()
    ):
        whole: np.ndarray = target.to_numpy(dtype="int64")
        return whole
    return np.array([str(value) for value in target])


def _listed(names: Collection[str]) -> str:
    shown = list(names)[:5]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    word = "column" if len(names) == 1 else "columns"
    return f"{word} " + ", ".join(repr(str(name)) for name in shown) + more


def _suggested(preprocessing: Collection[str], added: str) -> str:
    return str([added, *preprocessing]).replace("'", '"')
