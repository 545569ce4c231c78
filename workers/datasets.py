"""From the name of a data set to its rows: built-in, registered, a file under the data root, or a shipped sample.

In this order, whatever the current folder is. A file is only read when it lies below the root after all links are
followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from sklearn import datasets as sklearn_datasets

from app.domain.datasets import (
    BUILT_IN,
    TABLE_SUFFIXES,
    BuiltInDataset,
    DatasetEntry,
    built_in_target,
    check_reference,
    find_target,
)
from app.domain.errors import BadDataset
from app.domain.nearest import unknown_name

SAMPLES = Path(__file__).parent / "samples"
MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table and the column to predict; `frame` holds both. Rows are numbered from 0."""

    name: str
    frame: pd.DataFrame
    target_column: str


@dataclass(frozen=True, slots=True)
class DatasetResolver:
    """Finds data sets on this node. A registered path may be absolute: only the supervisor registers."""

    data_root: Path | None = None
    registered: Mapping[str, DatasetEntry] = field(default_factory=dict)

    def load(self, name: str, target_column: str | None = None) -> Dataset:
        """Read a data set. Raises BadDataset for an unknown name, a path outside the root, a missing column."""
        if name in BUILT_IN:
            return _load_built_in(BUILT_IN[name], target_column)
        path, entry = self.find(name)
        frame = read_table(path, name)
        columns = [str(column) for column in frame.columns]
        frame.columns = columns
        target = find_target(columns, target_column, entry.target_column if entry else None)
        return Dataset(name, frame, target)

    def find(self, name: str) -> tuple[Path, DatasetEntry | None]:
        """The file of a data set that is not built in, and its entry when it is registered. Raises BadDataset."""
        entry = self.registered.get(name)
        if entry is not None:
            path = self._registered_file(entry)
            if path is None:
                raise BadDataset(f"{name} is registered as {Path(entry.path).name}, but this node has no such file")
            return path, entry
        check_reference(name)
        for root in self._roots():
            path = _file_below(root, name)
            if path is not None:
                return path, None
        message, near = unknown_name("data set", name, self.known_names())
        raise BadDataset(f"{message} (a file is looked for below DATA_ROOT of the node)", nearest=near)

    def known_names(self) -> set[str]:
        """Every name that could be given here: what an unknown one is compared with."""
        return {*BUILT_IN, *self.registered, *(name for root in self._roots() for name in _tables_below(root))}

    def _registered_file(self, entry: DatasetEntry) -> Path | None:
        path = Path(entry.path)
        if path.is_absolute():
            return path if path.is_file() else None
        check_reference(entry.path)
        return next((found for root in self._roots() if (found := _file_below(root, entry.path))), None)

    def _roots(self) -> tuple[Path, ...]:
        return (self.data_root, SAMPLES) if self.data_root is not None else (SAMPLES,)


def read_table(path: Path, name: str) -> pd.DataFrame:
    """A CSV (with a header) or Parquet file as a table. Raises BadDataset when it is neither, or holds no rows."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise BadDataset(f"{name} is neither CSV nor Parquet; give a file that ends in {' or '.join(TABLE_SUFFIXES)}")
    try:
        frame = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    except UnicodeDecodeError as error:
        raise BadDataset(f"{name} is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, OSError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0].replace(str(path), name)[:200]
        raise BadDataset(f"{name} cannot be read: {said}") from error
    if frame.empty:
        raise BadDataset(f"{name} holds no rows; give a table with a header and at least one row")
    if len(frame.columns) < 2:
        raise BadDataset(f"{name} has one column only; a feature and a target are needed")
    return frame.reset_index(drop=True)


def _load_built_in(dataset: BuiltInDataset, target_column: str | None) -> Dataset:
    target = built_in_target(dataset, target_column)
    bunch = getattr(sklearn_datasets, f"load_{dataset.name}")(as_frame=True)
    frame = bunch.data.copy()
    text_labels = dataset.task == "classification" and dataset.name != "digits"
    frame[target] = [str(bunch.target_names[n]) for n in bunch.target] if text_labels else bunch.target
    return Dataset(dataset.name, frame, target)


def _file_below(root: Path, name: str) -> Path | None:
    """The table `name` under `root`. Raises BadDataset when a link leads out of the root."""
    base = root.resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise BadDataset(f"{name} is a link that leaves the data root; put the file itself there")
    return path if path.is_file() else None


def _tables_below(root: Path) -> Iterator[str]:
    if not root.is_dir():
        return
    found = (path for path in root.rglob("*") if path.suffix.lower() in TABLE_SUFFIXES)
    for _, path in zip(range(MOST_LISTED), found, strict=False):
        yield str(path.relative_to(root))
