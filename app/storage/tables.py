"""What a table file says of itself without being read whole: its header, its size, the length of its first lines.

For the sizing of jobs only. A file that is not here, or that is no table, says nothing: the jobs that name it find out.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from app.domain.json import Json

SAMPLE_BYTES = 1 << 18
MOST_COLUMNS = 1_000_000


def table_facts(root: Path, reference: str) -> Mapping[str, Json]:
    """`{bytes, rows, features}` of a CSV file below the root, `rows` estimated from its first lines; of a Parquet file
    `{bytes}`; nothing of what is no file below the root, all links followed."""
    try:
        base = root.resolve()
        path = (base / reference).resolve()
        if not path.is_relative_to(base) or not path.is_file():
            return {}
        size = path.stat().st_size
        return {"bytes": size, **(_csv_facts(path, size) if path.suffix.lower() == ".csv" else {})}
    except (OSError, ValueError, csv.Error):
        return {}


def _csv_facts(path: Path, size: int) -> Mapping[str, Json]:
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    header, *lines = sample.splitlines(keepends=True)
    if size > len(sample):
        lines = lines[:-1]
    columns = len(next(csv.reader([header.decode("utf-8-sig")])))
    if not lines or not 2 <= columns <= MOST_COLUMNS:
        return {}
    length = sum(map(len, lines)) / len(lines)
    return {"rows": max(1, round((size - len(header)) / length)), "features": columns - 1}
