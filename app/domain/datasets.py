"""What is known about data sets without reading any: the built-in names, their target columns, what a reference may be.

A reference is a name, never a way out: relative, below the data root, without links to elsewhere (the resolver in
`workers/datasets.py` checks those on disk). The same words refuse a bad reference at submit and in the job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.domain.errors import BadDataset
from app.domain.nearest import nearest_name

MAX_REFERENCE = 255
TABLE_SUFFIXES = (".csv", ".parquet")
TARGET_ALIAS = "target"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class BuiltInDataset:
    """A data set that scikit-learn carries. `target` is the name its target column has here."""

    name: str
    target: str
    rows: int
    features: int
    task: str
    description: str


@dataclass(frozen=True, slots=True)
class DatasetEntry:
    """A registered data set: a path below the data root, and the column to predict when a job names none."""

    path: str
    target_column: str | None = None


BUILT_IN: Mapping[str, BuiltInDataset] = MappingProxyType(
    {
        each.name: each
        for each in (
            BuiltInDataset("iris", "species", 150, 4, "classification", "Iris flowers, three species"),
            BuiltInDataset(
                "wine", "cultivar", 178, 13, "classification", "Chemical analysis of wines, three cultivars"
            ),
            BuiltInDataset("digits", "digit", 1797, 64, "classification", "8x8 images of handwritten digits"),
            BuiltInDataset("breast_cancer", "diagnosis", 569, 30, "classification", "Cell nuclei, malignant or benign"),
            BuiltInDataset("diabetes", "progression", 442, 10, "regression", "Disease progression after one year"),
        )
    }
)


def check_reference(name: str) -> None:
    """Refuse what could never name a data set below the data root. Raises BadDataset with the remedy."""
    shown = name[:80]
    if not name or not name.strip():
        raise BadDataset("is empty; name a built-in data set, a registered one, or a file under the data root")
    if len(name) > MAX_REFERENCE:
        raise BadDataset(f"is longer than {MAX_REFERENCE} characters; use a shorter name or register the file")
    if not name.isprintable():
        raise BadDataset("holds control characters; use the plain name of the file")
    if _SCHEME.match(name) or "\\" in name:
        raise BadDataset(
            f"{shown!r} is a URL or a drive path; put the file under the data root and give its name there"
        )
    if name.startswith(("/", "~")):
        raise BadDataset(f"{shown!r} is an absolute path; give a path relative to the data root (DATA_ROOT)")
    if ".." in name.split("/"):
        raise BadDataset(f"{shown!r} leaves the data root; give a path below it, without '..'")


def check_target(dataset: str, target_column: str | None) -> None:
    """Refuse a wrong target of a built-in data set (known at submit). Other data sets pass: their columns are on
    disk."""
    if dataset in BUILT_IN and target_column is not None:
        built_in_target(BUILT_IN[dataset], target_column)


def built_in_target(dataset: BuiltInDataset, target_column: str | None) -> str:
    """The target column of a built-in set: none given, `target` and its own name all mean the same one."""
    if target_column in (None, TARGET_ALIAS, dataset.target):
        return dataset.target
    message = f"{dataset.name} has the target {dataset.target!r} (or {TARGET_ALIAS!r}), not {str(target_column)[:80]!r}"
    raise BadDataset(message, path="parameters.target_column", nearest=dataset.target)


def find_target(columns: list[str], target_column: str | None, registered_target: str | None) -> str:
    """The target among `columns`: the one asked for, else the registered one, else the last column."""
    wanted = target_column or registered_target
    if wanted is None:
        return columns[-1]
    if wanted in columns:
        return wanted
    near = nearest_name(wanted, columns)
    listed = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
    hint = f"did you mean {near!r}? " if near else ""
    message = f"there is no column {wanted[:80]!r}; {hint}The columns are: {listed}"
    raise BadDataset(message, path="parameters.target_column", nearest=near)
