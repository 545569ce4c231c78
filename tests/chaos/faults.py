"""Faults that can only be made inside a process: dying between two steps, a wrong clock, a lost message.

`FAULTS` maps a name to what puts the fault in; it gets the text after the colon.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.errors import Unavailable
from tests.chaos.replacing import replace
from tests.support.wait import until


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str) -> None:
    """The scheduler is killed when a cycle that placed something comes to this point of its commit."""
    from app.cli import serve

    def checkpoint(reached: str) -> None:
        if reached == point:
            die()

    replace(serve, "build", partial(serve.build, checkpoint=checkpoint))


class DiesBeforeItAnswers:
    """Kills its own process in place of the first byte of the n-th 201."""

    def __init__(self, app: ASGIApp, answers: int) -> None:
        self._app, self._left = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dying(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 201:
                self._left -= 1
                if self._left < 0:
                    die()
            await send(message)

        await self._app(scope, receive, dying if scope["type"] == "http" else send)


def dies_before_answer(answers: str) -> None:
    """The API is killed when a job is durable and its answer has not left, after so many answers."""
    from app.cli import serve

    plain = serve.build

    def build(*arguments: Any, **named: Any) -> Any:
        return DiesBeforeItAnswers(plain(*arguments, **named), int(answers))

    replace(serve, "build", build)


def clock_off(seconds: str) -> None:
    """The clock of this process is wrong by so many seconds."""
    from app.clock import SystemClock

    right = SystemClock.now
    replace(SystemClock, "now", lambda self: right(self) + timedelta(seconds=float(seconds)))


def lost_dispatch(when: str) -> None:
    """The first telling of each run is lost: `before` it reached Redis, or `after`, so that only its answer is."""
    from app.storage.dispatcher import ArqDispatcher

    send = ArqDispatcher.dispatch
    told: set[tuple[str, int]] = set()

    async def dispatch(self: ArqDispatcher, node_id: str, assignments: Sequence[tuple[str, int]]) -> None:
        first = not told.issuperset(assignments)
        told.update(assignments)
        if not first or when == "after":
            await send(self, node_id, assignments)
        if first:
            raise Unavailable("Redis")

    replace(ArqDispatcher, "dispatch", dispatch)


def reaper_pauses(file: str) -> None:
    """Between the reaper's look and its fence: it says so with `file`.there, and goes on at `file`.go."""
    from app.storage.leases import MongoLeaseStore

    fence, there, go = MongoLeaseStore.fence, Path(f"{file}.there"), Path(f"{file}.go")

    async def late(self: MongoLeaseStore, name: str, epoch: int) -> bool:
        await asyncio.to_thread(there.touch)
        await until(go.exists, 120, every=0.02)
        return await fence(self, name, epoch)

    replace(MongoLeaseStore, "fence", late)


def dies_in_batch(point: str) -> None:
    """The API is killed while it makes a batch: when the parts are stored (`parts`), when the record is (`record`),
    when some of the jobs are (`copy`), or when all are and nobody was told (`whole`)."""
    from app.storage.batches import MongoBatchStore
    from app.storage.layout import Layout

    copy, before = Layout._copy, iter((True, False))

    async def dying(*_: Any) -> None:
        die()

    async def copies_two(self: Layout, part: Any) -> None:
        await copy(self, part)
        if not next(before):
            die()

    if point == "parts":
        replace(MongoBatchStore, "_hold_places", dying)
    elif point == "copy":
        replace(Layout, "_copy", copies_two)
    else:
        replace(Layout, {"record": "copy", "whole": "drop"}[point], dying)


def dies_in_advance(rounds: str) -> None:
    """The process is killed when it has ended so many generations of jobs that wait for one another."""
    from app.operations import change

    follow, done = change._following, iter(range(int(rounds), -1, -1))

    async def following(*arguments: Any) -> Any:
        if not next(done):
            die()
        return await follow(*arguments)

    replace(change, "_following", following)


def dies_before_advance(file: str) -> None:
    """The process is killed when the end of a workflow's job is durable and the workflow does not know, once; `file`
    tells that it was so."""
    from app.operations import change

    plain = change.note_ends

    async def note_ends(services: Any, jobs: Any) -> Any:
        ended = list(jobs)
        if any(job.workflow_id for job in ended) and not await asyncio.to_thread(_first, Path(file)):
            die()
        return await plain(services, ended)

    replace(change, "note_ends", note_ends)


def dies_before_release(file: str) -> None:
    """The process is killed when a workflow has asked for a job, and the job is not made, once."""
    from app.operations.workflows import advancing

    plain = advancing.release

    async def release(*arguments: Any) -> Any:
        if not await asyncio.to_thread(_first, Path(file)):
            die()
        return await plain(*arguments)

    replace(advancing, "release", release)


def _first(file: Path) -> bool:
    """Whether the file was there; it is afterwards."""
    was_there = file.exists()
    file.touch()
    return was_there


FAULTS: dict[str, Callable[[str], None]] = {
    "dies_before_advance": dies_before_advance,
    "dies_before_release": dies_before_release,
    "die_at": die_at,
    "dies_before_answer": dies_before_answer,
    "dies_in_batch": dies_in_batch,
    "dies_in_advance": dies_in_advance,
    "clock_off": clock_off,
    "lost_dispatch": lost_dispatch,
    "reaper_pauses": reaper_pauses,
}
