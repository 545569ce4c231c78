"""Becomes another program that ends when its parent does, even when the parent is killed (-9).

Run as a file (`bound_to_me`): `python bound.py PARENT_PID SIGNAL PROGRAM ARGUMENT…`. The kernel delivers `SIGNAL`
at the death of the thread that started this process, and keeps that promise across the exec. Being a process of its
own, it needs no code between fork and exec in the parent, which would be unsafe beside threads. Standard library only:
it runs without site-packages. Outside Linux there is no such promise, and the program is bound by nothing.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, ending, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, ending, 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(1)
    os.execv(program, sys.argv[3:])


if __name__ == "__main__":
    main()
