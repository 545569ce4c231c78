"""Process trees of a worker: found, stopped, continued, killed.

A process belongs to a worker when it hangs below one of its roots (fork servers and leaders adopt what loses its
parent), or when it was born with the worker's mark in its environment: the two together also find what changed its
session and lost every parent. Both the guard and a worker that comes after a crash use this, so it imports little.

A tree that lives keeps growing, so each act looks again until it finds nothing new. Processes are compared with their
start times (psutil), so that a number that the system gave away again is never hit; who keeps a process for later keeps
it as such, never as its number.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable

import psutil

from app.domain.environment import MARK

Processes = frozenset[psutil.Process]
Find = Callable[[], Processes]
STOP_SECONDS = 2.0
"""A process in an uninterruptible call is stopped before its next instruction, but seen stopped only after the call."""
LOOK_SECONDS = 0.002
_STILL = frozenset({psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})
_GONE = frozenset({psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD})


def below(roots: Iterable[int]) -> Processes:
    """All descendants of these processes, themselves left out."""
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            children.setdefault(process.ppid(), []).append(process)
        except psutil.Error:
            continue
    found: set[psutil.Process] = set()
    rest = list(roots)
    while rest:
        fresh = [child for child in children.get(rest.pop(), ()) if child not in found]
        found.update(fresh)
        rest.extend(child.pid for child in fresh)
    return frozenset(found)


def family(roots: Iterable[psutil.Process]) -> Processes:
    """These, where they still live, and all their descendants: one look at the system, however many they are."""
    alive = frozenset(root for root in roots if root.is_running())
    return alive | below(root.pid for root in alive)


def tree(root: psutil.Process) -> Processes:
    """One process, where it still lives, and all below it: several times cheaper than `family`."""
    try:
        return frozenset((root, *root.children(recursive=True)))
    except psutil.Error:
        return frozenset()


def marked(mark: str) -> Processes:
    """All living processes that were born with this mark."""
    return frozenset(process for process in psutil.process_iter() if has_mark(process, mark))


def stop(find: Find) -> Processes:
    """SIGSTOP to all that `find` answers, until it answers nothing new and all are seen stopped."""
    until = time.monotonic() + STOP_SECONDS
    stopped: Processes = frozenset()
    while True:
        members = find()
        fresh = members - stopped
        send(fresh, signal.SIGSTOP)
        stopped |= members
        if (not fresh and all(_status(member) in _STILL for member in members)) or time.monotonic() > until:
            return stopped
        if not fresh:
            time.sleep(LOOK_SECONDS)


def kill(find: Find, seconds: float) -> tuple[Processes, Processes]:
    """SIGKILL to all that `find` answers, until none lives. Answers those that were killed, and those still seen.

    The oldest go first, so that no parent lives to see its child killed, and to tell that as a failure of its own.
    """
    until = time.monotonic() + seconds
    killed: Processes = frozenset()
    while True:
        alive = living(find())
        if not alive or time.monotonic() > until:
            return killed - alive, alive
        send(sorted(alive, key=_birth), signal.SIGKILL)
        killed |= alive
        time.sleep(LOOK_SECONDS)


def _birth(process: psutil.Process) -> tuple[float, int]:
    try:
        return process.create_time(), process.pid
    except psutil.Error:
        return 0.0, process.pid


def living(processes: Iterable[psutil.Process]) -> Processes:
    """Those that are not dead; a zombie is."""
    return frozenset(process for process in processes if _status(process) not in _GONE)


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each; those that are gone, or not ours, are skipped."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.Error:
        return str(psutil.STATUS_DEAD)


def has_mark(process: psutil.Process, mark: str) -> bool:
    """Whether a process was born with this mark; one that cannot be asked was not."""
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
