"""Workers that `local` started, as they are noted in a folder of this machine: one file a worker.

A note is written before its worker is started, without a process, and again with it: so a worker is found again after
any crash, at the latest by its command line. Names are used again, so that leases and folders stay few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import orjson
import psutil
from pydantic import TypeAdapter, ValidationError

SAME_START = 1.0
"""Seconds by which the start of a process may differ from the note, and it is the same process."""


@dataclass(frozen=True, slots=True)
class Record:
    """A worker. `pid` and `started`: of its process; None until it was started."""

    node_id: str
    type: str
    plan_id: str
    pid: int | None = None
    started: float | None = None


RECORD = TypeAdapter(Record)


class Records:
    """The notes in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self) -> list[Record]:
        """By name; what cannot be read is left out."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with suppress(OSError, ValidationError):
                found.append(RECORD.validate_json(path.read_bytes()))
        return found

    def write(self, record: Record) -> None:
        """Whole, or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(record.node_id)
        new = path.with_suffix(".new")
        new.write_bytes(orjson.dumps(asdict(record)))
        new.replace(path)

    def remove(self, record: Record) -> None:
        self._path(record.node_id).unlink(missing_ok=True)

    def free_name(self, kind: str) -> str:
        """The first name of the type that no worker bears."""
        taken = {record.node_id for record in self.all()}
        return next(name for n in count(1) if (name := f"local-{kind}-{n}") not in taken)

    def process_of(self, record: Record) -> psutil.Process | None:
        """Its process, while it lives. One that was started and not noted any more is found by its command line."""
        if record.pid is None:
            return next((p for p in _processes() if self._is_of(p, record)), None)
        try:
            process = psutil.Process(record.pid)
            same = abs(process.create_time() - (record.started or 0.0)) <= SAME_START
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def alive(self) -> list[tuple[Record, psutil.Process]]:
        """Those that live, with their processes."""
        found = ((record, self.process_of(record)) for record in self.all())
        return [(record, process) for record, process in found if process is not None]

    def log_path(self, node_id: str) -> Path:
        return self.folder / f"{node_id}.log"

    def _is_of(self, process: psutil.Process, record: Record) -> bool:
        """Whether it is the worker of that name over this very folder: another service may use the same names."""
        with suppress(psutil.Error):
            words = process.cmdline()
            named = "worker" in words and record.node_id in words
            return named and process.environ().get("DATA_DIR") == str(self.folder.parent)
        return False

    def _path(self, node_id: str) -> Path:
        return self.folder / f"{node_id}.json"


def noted(record: Record, process: psutil.Process) -> Record:
    """The record with its process."""
    return replace(record, pid=process.pid, started=process.create_time())


def _processes() -> Iterator[psutil.Process]:
    """Those of this user."""
    own = os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == own and process.status() != psutil.STATUS_ZOMBIE:
                yield process
