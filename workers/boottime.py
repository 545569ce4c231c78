"""The clock by which a node judges its lease: seconds since the machine started, counted through its suspensions too.

A monotonic clock that stands while the machine is suspended would let a node believe in a lease that ended meanwhile.
An `Alarm` is set on the same clock, so that it goes off in the moment a suspended machine wakes; a plain waiting time
would wait for the rest of it first.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_ABSOLUTE = 1
_BILLION = 1_000_000_000


def boot_seconds() -> float:
    """Now."""
    return time.clock_gettime(_CLOCK)


class _Moment(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Moment), ("at", _Moment))


class Alarm:
    """A descriptor (`fileno`) that becomes readable at a moment of this clock. Linux only; elsewhere `fileno` is -1."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = -1 if self._library is None else int(self._library.timerfd_create(_CLOCK, flags))

    def fileno(self) -> int:
        return self._descriptor

    def set(self, at: float | None) -> None:
        """Go off at that moment (at once when it is past); None: never. What went off before is forgotten."""
        if self._library is None or self._descriptor < 0:
            return
        whole = 0 if at is None else max(1, int(at * _BILLION))
        timer = _Timer(_Moment(0, 0), _Moment(whole // _BILLION, whole % _BILLION))
        self._library.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(timer), None)
