"""Where the processes of runs come from: two fork servers, so that a run starts at once.

One has the machine-learning libraries loaded, which takes it seconds. Runs that need none of them, commands and waits,
come from the other: they start while the first still loads, and are cheaper to fork. A run begins only when its order
is complete, which is sent after the guard knows of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

from workers.child import LIGHT, PRELOAD
from workers.child import main as child_main
from workers.process import die_with_parent
from workers.runners.adoption import adopt_orphans
from workers.runners.fork_server import Child, ForkServer, let_the_server_see_the_worker_end
from workers.warm import main as warm_main


class Nursery:
    """Starts children. `open` begins loading, without waiting for it."""

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._light = ForkServer(LIGHT)
        self._loaded = ForkServer(preload)

    async def open(self) -> None:
        """Start the fork servers. The first child of each starts when it has loaded what it should."""
        await self._light.start()
        await self._loaded.start()

    async def start_run(self, order: Connection, report: Connection, log_pipe: Connection, *, light: bool) -> Child:
        """A child that reads what to run from `order`, up to its end, runs it, and writes to the other pipes. `light`:
        it needs no library loaded."""
        return await (self._light if light else self._loaded).fork(_begin_run, order, report, log_pipe)

    async def start_warm(self, requests: Connection, report: Connection) -> Child:
        """A child that serves the inline executor through these pipes."""
        return await self._light.fork(_begin_warm, requests, report)

    def close(self) -> None:
        """No further child is started, and the fork servers are ended."""
        self._light.close()
        self._loaded.close()


def _begin_run(order: Connection, report: Connection, log_pipe: Connection) -> None:
    """Nothing of a job runs before its order has come: until then the guard may not know of this process."""
    let_the_server_see_the_worker_end()
    die_with_parent(os.getppid())
    adopt_orphans()
    with os.fdopen(os.dup(order.fileno()), "rb") as pipe:
        specification = pipe.read()
    order.close()
    if specification:
        child_main(specification.decode(), report, log_pipe)


def _begin_warm(requests: Connection, report: Connection) -> None:
    let_the_server_see_the_worker_end()
    warm_main(requests, report)
