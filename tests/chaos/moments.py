"""Time in the laboratory: the clock that every process of this machine shares, and letting time pass on purpose.

CLOCK_BOOTTIME goes on while a machine is suspended, and reads the same in every process: what two of them wrote can be
put in order.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


def boot_time() -> float:
    """Seconds since the machine started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def elapse(seconds: float) -> None:
    """Let a fault last. For anything that has a sign, wait for the sign (`tests.support.wait.until`)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
