"""The limits of a run that its supervisor keeps, and the words for passing them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workers.run import RunEnding, RunOrder

Stop = Callable[[RunEnding, str], None]


class Deadlines:
    """Timers for the whole run and for the step under way. `stop` is called at most once for each that passes."""

    def __init__(self, order: RunOrder, stop: Stop) -> None:
        self._order = order
        self._stop = stop
        self._whole: asyncio.TimerHandle | None = None
        self._step: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The run has started."""
        seconds = self._order.timeout
        message = f"the job ran longer than its timeout of {seconds:g} s; give it a larger timeout"
        self._whole = asyncio.get_running_loop().call_later(seconds, self._stop, RunEnding.TIMEOUT, message)

    def step_started(self, step: str) -> None:
        """A step has started: its own limit replaces that of the step before."""
        if self._step is not None:
            self._step.cancel()
        seconds = self._order.step_timeout(step)
        if seconds is None:
            self._step = None
            return
        message = f"step {step} ran longer than its timeout of {seconds:g} s; give the step a larger timeout"
        self._step = asyncio.get_running_loop().call_later(seconds, self._stop, RunEnding.TIMEOUT, message)

    def end(self) -> None:
        """The run has ended."""
        for timer in (self._whole, self._step):
            if timer is not None:
                timer.cancel()


def memory_message(peak_mib: float, limit_mib: int) -> str:
    """What a run is told that used more memory than was allocated to it."""
    return (
        f"used {peak_mib:.0f} MiB of memory and was ended: {limit_mib} MiB ({limit_mib / 1024:g} GB) were allocated; "
        "ask for more memory_gb"
    )
