"""Whether a process runs."""

from __future__ import annotations

import psutil


def lives(pid: int) -> bool:
    """One that is dead is listed until its parent has noticed: it does not live."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False
