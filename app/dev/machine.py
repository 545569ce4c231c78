"""Facts of this machine that a start needs: who holds a port, a free port, free disk, the lock of a data directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from app.startup import PortHolder, StartupTrouble, data_locked, disk_low

LOCK_WAIT_SECONDS = 10.0
"""How long servers of a killed holder are given to end."""
NEEDED_MIB = 1024


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there on loopback, else one that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on loopback")


def port_holder(port: int) -> PortHolder | None:
    """Who listens on `port`, as far as this user may know; None when nobody does."""
    with suppress(psutil.AccessDenied):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port:
                return PortHolder(port, found.pid, _command(found.pid))
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return PortHolder(port) if probe.connect_ex(("127.0.0.1", port)) == 0 else None


def demand_disk(folder: Path, needed_mib: int = NEEDED_MIB) -> None:
    """Raise `StartupTrouble` when less than `needed_mib` MiB is free where `folder` lies."""
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < needed_mib:
        raise StartupTrouble(disk_low(str(folder), free_mib, needed_mib))


class DataLock:
    """Exclusive use of a data directory, kept by the kernel on an open file whose content is the holder's pid.

    The embedded servers inherit the file: the lock is free only when the holder *and* its servers are gone, so a start
    right after a `kill -9` waits for them instead of opening the same files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = -1

    async def acquire(self) -> None:
        """Take the lock, or raise `StartupTrouble` naming the holder."""
        self.file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = asyncio.get_running_loop().time() + LOCK_WAIT_SECONDS
        while not self._try():
            pid = int(os.pread(self.file, 20, 0) or b"0")
            if psutil.pid_exists(pid) or asyncio.get_running_loop().time() > deadline:
                self.release()
                raise StartupTrouble(data_locked(str(self.folder), pid))
            await asyncio.sleep(0.05)
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give it up. May be called again."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _command(pid: int | None) -> str:
    with suppress(psutil.Error):
        return " ".join(psutil.Process(pid).cmdline())[:200] if pid else ""
    return ""
