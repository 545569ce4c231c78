"""What the jobs of the laboratory run: a program that leaves a mark, with the boot clock, whenever it executes.

`python witness.py FILE SECONDS [--trait …]`. Each mark is one line in one write, appended to a file that all witnesses
share, so the order of what really ran can be told afterwards, whatever the service says. Standard library only, and no
module of the project: it stands in for a user's code.

Traits: `stubborn` ignores SIGTERM; `detached` leaves a child in a session of its own that marks, too; `spin` never
sleeps; `checkpoint` saves its progress on SIGTERM, exits with 75 and goes on from there; `crash` is killed by a signal;
`greedy` takes memory until it is stopped; `poison` kills the worker that runs it; `fill` writes until its disk is full;
`hoard` leaves a large checkpoint and fails; `lasting` goes on for a minute in its first run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

CHECKPOINTED = 75
TICK = 0.05
LONG_SECONDS = 60.0
MEBIBYTE = 1 << 20
HOARD_MIB = 10


class Marks:
    """Appends marks of this process to the file."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._whose = {"job_id": os.environ.get("TF_JOB_ID", ""), "run_no": int(os.environ.get("TF_RUN_NO", "0"))}

    def leave(self, what: str) -> None:
        at = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.write(self._file, json.dumps({**self._whose, "pid": os.getpid(), "what": what, "at": at}).encode() + b"\n")


def run(
    marks: Marks, seconds: float, done: float, rest: Callable[[float], object], save: Callable[[float], None]
) -> None:
    """Tick until `seconds` of work are done, counting only time that it executed in."""
    while done < seconds:
        began = time.monotonic()
        marks.leave("tick")
        rest(TICK)
        done += min(time.monotonic() - began, 2 * TICK)
        save(done)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def leave_a_child(marks: Marks) -> None:
    """One that no signal to the group reaches, and that has lost its parent."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    run(marks, LONG_SECONDS, 0.0, threading.Event().wait, lambda _: None)
    os._exit(0)


def kill_the_worker(_: Marks) -> None:
    """Kill the nearest ancestor that is a worker."""
    pid = os.getpid()
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").endswith(b"\0worker"):
            os.kill(pid, signal.SIGKILL)
            return


def take_memory(_: Marks) -> None:
    taken = []
    while True:
        taken.append(bytearray(os.urandom(MEBIBYTE)) * 8)
        threading.Event().wait(TICK)


def fill_the_disk(marks: Marks) -> None:
    """To the last byte, in a file that the job would keep."""
    file = os.open(Path(os.environ["TF_ARTIFACTS"]) / "filling", os.O_WRONLY | os.O_CREAT, 0o600)
    size = MEBIBYTE
    while size:
        try:
            os.write(file, b"x" * size)
        except OSError:
            size //= 2
    marks.leave("full")


FIRST: dict[str, Callable[[Marks], None]] = {
    "detached": leave_a_child,
    "poison": kill_the_worker,
    "greedy": take_memory,
    "fill": fill_the_disk,
}
"""What is done before the work, by trait."""


def progress_file() -> Path:
    return Path(os.environ.get("TF_CHECKPOINTS", ".")) / "done"


def main(file: str, seconds: float, traits: set[str]) -> None:
    marks = Marks(file)
    marks.leave("start")
    kept = progress_file()
    asked = threading.Event()
    if "stubborn" in traits:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "checkpoint" in traits:
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
    for act in (FIRST[trait] for trait in FIRST if trait in traits):
        act(marks)

    def save(done: float) -> None:
        if asked.is_set():
            kept.write_text(str(done))
            marks.leave("saved")
            sys.exit(CHECKPOINTED)

    before = float(kept.read_text()) if "checkpoint" in traits and kept.exists() else 0.0
    if "lasting" in traits and os.environ["TF_RUN_NO"] == "1":
        seconds = LONG_SECONDS
    run(marks, seconds, before, spin if "spin" in traits else threading.Event().wait, save)
    if "hoard" in traits:
        progress_file().write_bytes(os.urandom(HOARD_MIB * MEBIBYTE))
        sys.exit(1)
    if "crash" in traits:
        os.kill(os.getpid(), signal.SIGSEGV)
    Path(os.environ["TF_OUTPUTS"]).write_text(json.dumps({"run_no": int(os.environ["TF_RUN_NO"])}))
    marks.leave("end")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), {trait.removeprefix("--") for trait in sys.argv[3:]})
