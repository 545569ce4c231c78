"""The limits of a run that its supervisor keeps, on clocks that stand while the run is frozen.

`Clocks` are the timers of one run: its deadlines, the grace between asking it to end and killing it. Whoever freezes
the run makes them stand and go; what was left of each is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from workers.run import RunEnding, RunOrder

Stop = Callable[[RunEnding, str], None]


class Timer:
    """Calls once, after it has gone for `seconds`."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._left = seconds
        self._call = call
        self._handle: asyncio.TimerHandle | None = None
        self._over = False

    def go(self, ago: float = 0.0) -> None:
        """Go on, since `ago` seconds before now."""
        if self._handle is None and not self._over:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_at(loop.time() - ago + self._left, self._fire)

    def stand(self, ago: float = 0.0) -> None:
        """Stand, since `ago` seconds before now. One that was due by then goes off all the same."""
        if self._handle is None:
            return
        left = self._handle.when() - asyncio.get_running_loop().time() + ago
        if left > 0:
            self._handle.cancel()
            self._handle, self._left = None, min(left, self._left)

    def cancel(self) -> None:
        self._over = True
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        self._over = True
        self._call()

    @property
    def over(self) -> bool:
        return self._over


class Clocks:
    """The timers of one run."""

    def __init__(self) -> None:
        self._timers: list[Timer] = []
        self.standing = False

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call after the run's clocks have gone for so long."""
        timer = Timer(seconds, call)
        self._timers = [*(other for other in self._timers if not other.over), timer]
        if not self.standing:
            timer.go()
        return timer

    def stand(self, ago: float = 0.0) -> None:
        """The run is frozen since `ago` seconds before now."""
        self.standing = True
        for timer in self._timers:
            timer.stand(ago)

    def go(self, ago: float = 0.0) -> None:
        """The run goes on since `ago` seconds before now."""
        self.standing = False
        for timer in self._timers:
            timer.go(ago)

    def end(self) -> None:
        """The run has ended."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    async def wait(self, ended: asyncio.Future[int | None], seconds: float) -> None:
        """Until that future is done, or the clocks have gone for so long."""
        done = asyncio.Event()
        timer = self.later(seconds, done.set)
        ended.add_done_callback(lambda _: done.set())
        try:
            await done.wait()
        finally:
            timer.cancel()


class Deadlines:
    """The time limits of the whole run and of the step under way. `stop` is called once for each that passes."""

    def __init__(self, order: RunOrder, clocks: Clocks, stop: Stop) -> None:
        self._order = order
        self._clocks = clocks
        self._stop = stop
        self._step: Timer | None = None

    def begin(self) -> None:
        """The run has started."""
        self._limit("the job", self._order.timeout, "it")

    def step_started(self, step: str) -> None:
        """A step has started: its own limit replaces that of the step before."""
        if self._step is not None:
            self._step.cancel()
        seconds = self._order.step_timeout(step)
        self._step = None if seconds is None else self._limit(f"step {step}", seconds, "the step")

    def _limit(self, what: str, seconds: float, remedy: str) -> Timer:
        message = f"{what} ran longer than its timeout of {seconds:g} s; give {remedy} a larger timeout"
        return self._clocks.later(seconds, lambda: self._stop(RunEnding.TIMEOUT, message))


def memory_message(peak_mib: float, limit_mib: int) -> str:
    """What a run is told that used more memory than was allocated to it."""
    return (
        f"used {peak_mib:.0f} MiB of memory and was ended: {limit_mib} MiB ({limit_mib / 1024:g} GB) were allocated; "
        "ask for more memory_gb"
    )
