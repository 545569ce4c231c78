"""The folder of a node on its machine: a lock that only one supervisor holds, and a folder for each live run.

The kernel drops the lock with the process, however it ends. While it is held, whatever lies in `runs/` belongs to an
earlier supervisor of this node: its processes are killed and its folders removed before anything is started. They are
found by the sessions of their leaders and by the mark that they bear (`workers/trees.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import structlog

from app.startup import StartupTrouble
from workers import trees
from workers.mark import own_mark
from workers.run import RunKey

log = structlog.get_logger()
_PROCESS_FILE = ".process"
_MARK_FILE = "mark"
_MACHINE = Path("/etc/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_GONE_SECONDS = 20.0


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

    def holder(self) -> str:
        """Who holds this node's lease from here: the same after a restart, another on another machine or folder.

        Containers and cloned machines may share the machine's id, and a volume the folder, while the lock holds on one
        kernel only; so the boot of the kernel is part of the name. A machine that was started anew waits for the lease.
        """
        path = self.folder / "identity"
        if not path.exists():
            path.write_text(secrets.token_hex(8))
        machine = " ".join(path.read_text() for path in (_MACHINE, _BOOT) if path.exists())
        here = hashlib.sha256(f"{path.read_text()} {machine}".encode()).hexdigest()
        return f"{self._node_id}@{here[:16]}"

    def clear(self) -> int:
        """End what an earlier supervisor left running here and remove its folders; from now on, what is left is ours.

        Answers how many runs it had. When this returns, its processes were seen dead; raises StartupTrouble when they
        do not die.
        """
        if self._lock is None:
            raise RuntimeError("only the holder of the lock may clear")
        left = [path for path in self.runs.iterdir() if path.is_dir()]
        self._end_processes([leader for folder in left if (leader := _noted_leader(folder)) is not None])
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        (self.folder / _MARK_FILE).write_text(own_mark())
        return len(left)

    def _end_processes(self, leaders: Sequence[tuple[int, float]]) -> None:
        mark_file = self.folder / _MARK_FILE
        mark = mark_file.read_text() if mark_file.exists() else own_mark()

        def find() -> trees.Processes:
            """An earlier supervisor of this very process has ended its runs, and left its fork server to us."""
            found = _sessions(leaders) | (trees.marked(mark) if mark != own_mark() else frozenset())
            return found | trees.below(process.pid for process in found)

        killed, alive = trees.kill(find, _GONE_SECONDS)
        if killed:
            log.warning("run.leftovers_killed", processes=len(killed))
        if alive:
            raise StartupTrouble(not_dying(self._node_id, [process.pid for process in alive]))


def remember_process(run_folder: Path, pid: int) -> None:
    """Note the leader of a run's process group, for a supervisor that comes after a crash of this one."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return
    (run_folder / _PROCESS_FILE).write_text(f"{pid} {started}")


def _noted_leader(run_folder: Path) -> tuple[int, float] | None:
    """Its number and start."""
    try:
        pid, started = (run_folder / _PROCESS_FILE).read_text().split()
        return int(pid), float(started)
    except (OSError, ValueError):
        return None


def _sessions(leaders: Sequence[tuple[int, float]]) -> trees.Processes:
    """The processes of the sessions that these opened, unless the number belongs to a younger process by now."""
    since = dict(leaders)
    processes = psutil.process_iter() if since else ()
    return frozenset(p for p in processes if (sid := _session(p.pid)) in since and _started(p) >= since[sid] - 1)


def node_taken(node_id: str, holder: str) -> str:
    """Another supervisor serves this node."""
    who = f"pid {holder}" if holder else "another process"
    return f"Node {node_id} is already served by {who}. Stop it, or give this worker another name with --node-id."


def not_dying(node_id: str, pids: Sequence[int]) -> str:
    """What an earlier supervisor left cannot be ended, so its runs cannot be given to others."""
    listed = ", ".join(map(str, sorted(pids)[:5]))
    return f"Processes of earlier runs of node {node_id} do not end (pid {listed}). End them, then start the worker."


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
