"""The wish that a run should end, as the step sees it: asked at any time, waited for instead of sleeping.

Two forms, since a signal handler may run in the middle of anything: what it calls must not take a lock that the
interrupted code may hold (`threading.Event` does), so the process of one job uses a pipe.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Protocol


class StopFlag(Protocol):
    """Raised once, never lowered."""

    def requested(self) -> bool: ...

    def wait(self, seconds: float) -> bool:
        """Wait until the stop is requested, at most `seconds`. True when it is."""


class SignalStop:
    """A stop flag that a signal handler may raise."""

    def __init__(self) -> None:
        self._requested = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def request(self) -> None:
        if not self._requested:
            self._requested = True
            os.write(self._write, b"x")

    def requested(self) -> bool:
        return self._requested

    def wait(self, seconds: float) -> bool:
        if not self._requested:
            select.select([self._read], [], [], max(0.0, seconds))
        return self._requested


class EventStop:
    """A stop flag for steps that run in threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        self._event.set()

    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        return self._event.wait(max(0.0, seconds))
