"""What a process of ours says to the operating system about itself: end with the parent, stay on its CPUs.

Linux offers all of it; where a call does not exist the run goes on without, since these are bounds, not correctness.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable
from importlib import import_module

from app.domain.environment import thread_env
from workers.report import Usage

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_KIB_PER_MIB = 1024


def die_with_parent(parent: int) -> None:
    """Be killed by the kernel as soon as the process `parent` ends, however it ends. Safe between fork and exec."""
    if _LIBC is None:
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def keep_to_cpus(cpus: Iterable[int]) -> None:
    """Run on these CPUs only. A set that the system refuses (a container with others) changes nothing."""
    wanted = set(cpus)
    if wanted and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, wanted)
        except OSError:
            return


def limit_threads(threads: int) -> None:
    """Hold the numeric libraries to `threads` threads: those loaded before the fork, and those loaded later."""
    os.environ.update(thread_env(threads))
    if "threadpoolctl" in sys.modules or "numpy" in sys.modules:
        try:
            import_module("threadpoolctl").threadpool_limits(limits=threads)
        except ModuleNotFoundError:
            return


def usage() -> Usage:
    """What this process and the commands that it waited for have used so far."""
    own, commands = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + commands.ru_utime + commands.ru_stime
    return Usage(cpu_seconds=seconds, peak_memory_mib=max(own.ru_maxrss, commands.ru_maxrss) / _KIB_PER_MIB)
