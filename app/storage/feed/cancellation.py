"""A cancellation that the driver swallowed is not lost.

`asyncio.wait_for` of Python 3.11, through which PyMongo sends, answers instead of raising when it is cancelled in the
moment in which the sending ends. A loop that never ends by itself would then never end at all.
"""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError where the present task was cancelled and went on."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
