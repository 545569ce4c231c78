"""A process that proves that it runs: each hundredth of a second it appends the boot clock to a file.

`python ticks.py FILE` ticks itself. With `apart` it leaves, by a double fork and `setsid`, a process that ticks after
every parent is gone, and then sleeps; the file's name with `.pid` beside it tells which.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from time import sleep

TICK = 0.01


def command(file: Path, *how: str) -> list[str]:
    """The command line of such a process."""
    return [sys.executable, __file__, str(file), *how]


def read(file: Path) -> list[float]:
    """The ticks so far."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [float(line) for line in lines]


def main(file: Path, *how: str) -> None:
    if "apart" in how and os.fork() > 0:
        sleep(3600)
    if "apart" in how:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
    file.with_suffix(".pid").write_text(str(os.getpid()))
    with file.open("a") as ticks:
        while True:
            ticks.write(f"{time.clock_gettime(time.CLOCK_BOOTTIME):.4f}\n")
            ticks.flush()
            sleep(TICK)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
