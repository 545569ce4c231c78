"""A guard process and the two pipes to it, as `workers/guard.py` describes them: orders are numbered and answered.

An order whose guard ended before it answered raises `GuardLost`; it may be given to another guard. A guard that is
silent for too long is itself stopped or stuck: it is killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress

import orjson
import structlog

from app.domain.json import Json
from workers.mark import own_mark
from workers.runners.pipes import Lines, read_into, write_to

log = structlog.get_logger()
ANSWER_SECONDS = 15.0
LEAVE_SECONDS = 5.0


class GuardLost(Exception):
    """The guard ended before it answered."""


class GuardLink:
    """A guard process and the two pipes to it."""

    def __init__(self, process: Process, orders: asyncio.WriteTransport, answers: _Answers) -> None:
        self.process = process
        self._orders = orders
        self._answers = answers
        self._number = 0

    @classmethod
    async def open(cls, freeze_max: float, hear: Callable[[Mapping[str, Json]], None]) -> GuardLink:
        orders_out, orders_in = os.pipe()
        answers_out, answers_in = os.pipe()
        answers = _Answers(hear)
        command = (sys.executable, "-P", "-m", "workers.guard", own_mark(), str(freeze_max))
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=orders_out, stdout=answers_in, start_new_session=True
            )
        except OSError:
            os.close(orders_in)
            os.close(answers_out)
            raise
        finally:
            os.close(orders_out)
            os.close(answers_in)
        await read_into(answers_out, answers)
        return cls(process, await write_to(orders_in), answers)

    async def ask(self, do: str, **facts: Json) -> Mapping[str, Json]:
        """Give an order and wait until it is done. Raises GuardLost."""
        self._number += 1
        answer = self._answers.expect(self._number)
        if not answer.done():
            self._orders.write(orjson.dumps({"n": self._number, "do": do, **facts}, option=orjson.OPT_APPEND_NEWLINE))
            await self._answers.within(ANSWER_SECONDS, answer)
        if not answer.done():
            log.error("guard.silent", guard=self.process.pid, order=do)
            self.kill()
            await self.gone()
        return await answer

    async def gone(self) -> None:
        """Until it has ended."""
        await self.process.wait()
        await self._answers.closed.wait()

    async def leave(self) -> None:
        """Have it end without touching anything; killed when it does not."""
        with suppress(GuardLost):
            await self.ask("leave")
        ended = asyncio.ensure_future(self.gone())
        await asyncio.wait([ended], timeout=LEAVE_SECONDS)
        if not ended.done():
            self.kill()
        await ended
        if not self._orders.is_closing():
            self._orders.abort()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()


class _Answers(Lines):
    """Hands answers to who waits for them, and everything else to `hear`."""

    def __init__(self, hear: Callable[[Mapping[str, Json]], None]) -> None:
        super().__init__(self._sort)
        self._hear = hear
        self._expected: dict[int, asyncio.Future[Mapping[str, Json]]] = {}
        self._heard_at = float("-inf")

    def expect(self, number: int) -> asyncio.Future[Mapping[str, Json]]:
        answer = self._expected[number] = asyncio.get_running_loop().create_future()
        if self.closed.is_set():
            self._lose(answer)
        return answer

    async def within(self, seconds: float, answer: asyncio.Future[Mapping[str, Json]]) -> None:
        """Until it is there, or nothing was heard for so long: orders wait for each other, and a busy guard is not
        silent."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while not answer.done() and (left := max(asked, self._heard_at) + seconds - loop.time()) > 0:
            await asyncio.wait([answer], timeout=left)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for answer in self._expected.values():
            self._lose(answer)

    def _sort(self, line: Mapping[str, Json]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if "event" in line:
            self._hear(line)
        elif (answer := self._expected.pop(line["n"], None)) is not None and not answer.done():
            answer.set_result(line)

    @staticmethod
    def _lose(answer: asyncio.Future[Mapping[str, Json]]) -> None:
        if not answer.done():
            answer.set_exception(GuardLost())
            answer.exception()
