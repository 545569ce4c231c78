"""Jobs that last until a test lets them end: no test has to be quicker than what it looks at."""

from __future__ import annotations

from pathlib import Path

UNTIL_THERE = 'until [ -e "$0" ]; do sleep 0.05; done'


def until_there(file: Path) -> list[str]:
    """The command of a job that ends well once the file is there."""
    return ["sh", "-c", UNTIL_THERE, str(file)]
