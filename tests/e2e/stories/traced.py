"""What the steps of stories run: it leaves a line when it begins, and does not end before it may.

`python traced.py FOLDER NAME [--seconds S] [--out JSON] [--value V] [--waits-for FILE] [--fails-without FILE]`. The
line says NAME, job and run; it is one write to a file that all share, and its place is the one among those of NAME.
While `gates/NAME` or `gates/NAME#PLACE` exists the step waits, and until the first FILE does. It tells the metric
`value`, puts out JSON, and fails, past retrying, without the other FILE. Standard library only: it stands in for a
user's code.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path

USAGE = 78
"""The exit status that is never tried again."""
TICK = 0.02
pause = threading.Event().wait


def begin(trace: Path, name: str) -> int:
    """Leave the line; its place among those of this name, from 1."""
    own = f"{name} {os.environ['TF_JOB_ID']} {os.environ['TF_RUN_NO']}"
    with trace.open("a") as file:
        file.write(f"{own}\n")
    lines = [line for line in trace.read_text().splitlines() if line.split()[0] == name]
    return lines.index(own) + 1


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--out")
    parser.add_argument("--value")
    parser.add_argument("--waits-for", type=Path)
    parser.add_argument("--fails-without", type=Path)
    asked = parser.parse_args()
    place = begin(asked.folder / "trace", asked.name)
    gates = [asked.folder / "gates" / name for name in (asked.name, f"{asked.name}#{place}")]
    while any(gate.exists() for gate in gates) or (asked.waits_for and not asked.waits_for.exists()):
        pause(TICK)
    pause(asked.seconds)
    if asked.value:
        Path(os.environ["TF_EVENTS"]).write_text(f'{{"metrics": {{"value": {asked.value}}}, "step": 1}}\n')
    if asked.out:
        Path(os.environ["TF_OUTPUTS"]).write_text(asked.out)
    return 0 if asked.fails_without is None or asked.fails_without.exists() else USAGE


if __name__ == "__main__":
    sys.exit(main())
