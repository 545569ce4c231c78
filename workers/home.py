"""The folder of a node on its machine: a lock that only one supervisor holds, and a folder for each live run.

The kernel drops the lock with the process, however it ends. While it is held, whatever lies in `runs/` belongs to an
earlier supervisor of this node: its processes are killed and its folders removed before anything is started.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import structlog

from app.startup import StartupTrouble
from workers.run import RunKey
from workers.runners.killing import kill

log = structlog.get_logger()
_PROCESS_FILE = ".process"
_GONE_SECONDS = 5


class NodeHome:
    """`{data directory}/nodes/{node id}`, held while the context is open. Raises StartupTrouble when another has it."""

    def __init__(self, data_directory: Path, node_id: str) -> None:
        self.folder = data_directory.resolve() / "nodes" / node_id
        self.runs = self.folder / "runs"
        self._node_id = node_id
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.runs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise StartupTrouble(node_taken(self._node_id, holder)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._lock = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def run_folder(self, key: RunKey) -> Path:
        """Where a run works; made by whoever starts it."""
        return self.runs / str(key)

    def clear(self) -> int:
        """End what an earlier supervisor left running here and remove its folders. Answers how many runs it had."""
        if self._lock is None:
            raise RuntimeError("only the holder of the lock may clear")
        left = [path for path in self.runs.iterdir() if path.is_dir()]
        for folder in left:
            kill_group(folder / _PROCESS_FILE)
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)


def remember_process(run_folder: Path, pid: int) -> None:
    """Note the leader of a run's process group, for a supervisor that comes after a crash of this one."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return
    (run_folder / _PROCESS_FILE).write_text(f"{pid} {started}")


def kill_group(process_file: Path) -> None:
    """Kill the processes of the session that the noted leader opened, unless its number belongs to a younger one."""
    try:
        pid_text, started_text = process_file.read_text().split()
        pid, started = int(pid_text), float(started_text)
    except (OSError, ValueError):
        return
    members = [p for p in psutil.process_iter() if _session(p.pid) == pid and _started(p) >= started - 1]
    if members:
        log.warning("run.leftovers_killed", session=pid, processes=len(members))
        kill(members)
        psutil.wait_procs(members, _GONE_SECONDS)


def node_taken(node_id: str, holder: str) -> str:
    """Another supervisor serves this node."""
    who = f"pid {holder}" if holder else "another process"
    return f"Node {node_id} is already served by {who}. Stop it, or give this worker another name with --node-id."


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _started(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0
