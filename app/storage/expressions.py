"""Expressions in bounded children: a pool of processes that are started when first needed and replaced when they fail.

A batch goes to one child. When the child dies over it, or is silent for too long, it is killed, and each item is tried
alone: only the guilty one gets the fault. So one bad expression costs others a moment, never their value. Children are
given to tenants in turn, and a child that has worked for a while gives back what it has, so that nobody waits for more
than a moment of each other tenant.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson
import structlog

from app.domain.expression_faults import said_of
from app.domain.expressions import MAX_INPUT, Evaluation, Expression, Fault, Typed, Value, size_fault
from app.storage.sharing import Shared

log = structlog.get_logger()
CHILDREN = 2
BATCH = 64
SECONDS = 15.0
"""For one batch, by the clock: only a child that hangs takes so long. Its processor time is bounded in the child."""
STARTING = 20.0
LINE = 64 << 20
COMMAND = ("-I", "-m", "app.storage.cel_child")
TOO_LONG = "it takes too long, or more memory than an expression may use"

Item = dict[str, Any]
Answer = dict[str, Any]


class ChildFailed(Exception):
    """The child died, or did not answer in time."""


class _Child:
    """One process. Used by one batch at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, op: str, items: Sequence[Item], seconds: float) -> list[Answer]:
        """Its answers. Raises ChildFailed, after which a new process is started by the next call."""
        process = await self._running()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - pipes were asked for
        try:
            async with asyncio.timeout(seconds):
                process.stdin.write(orjson.dumps({"op": op, "items": items}) + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            if not line:
                raise ChildFailed
            answers: list[Answer] = orjson.loads(line)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError | OSError | ValueError):
                raise ChildFailed from error
            raise
        return answers

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *COMMAND, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env={}, limit=LINE
            )
            await self._greet()
        return self._process

    async def _greet(self) -> None:
        """Its start is slow on a busy machine; what comes after is not."""
        await self.ask("check", [], STARTING)

    async def stop(self) -> None:
        """Kill it and wait for its end."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class CelExpressions:
    """`Expressions` by CEL. `stop` ends the children."""

    def __init__(self, children: int = CHILDREN, seconds: float = SECONDS) -> None:
        self._all = [_Child() for _ in range(children)]
        self._free = Shared(self._all)
        self._seconds = seconds

    async def check(self, wanted: Sequence[Expression], whose: str = "") -> list[Typed | Fault]:
        """Equal ones are asked once."""
        keys = [(each.text, tuple(each.variables.items())) for each in wanted]
        found: dict[object, Typed | Fault] = {}
        asked: dict[object, Item] = {}
        for key, each in zip(keys, wanted, strict=True):
            if key in found or key in asked:
                continue
            if fault := size_fault(each.text):
                found[key] = fault
            else:
                asked[key] = {"text": each.text, "variables": dict(each.variables)}
        answers = await self._ask("check", list(asked.values()), whose)
        found |= zip(asked, map(_typed, answers), strict=True)
        return [found[key] for key in keys]

    async def evaluate(self, wanted: Sequence[Evaluation], whose: str = "") -> list[Value | Fault]:
        faults = [size_fault(each.expression.text) or _input_fault(each) for each in wanted]
        items = [
            {"text": e.expression.text, "variables": dict(e.expression.variables), "values": dict(e.values)}
            for e, fault in zip(wanted, faults, strict=True)
            if not fault
        ]
        answers = iter(await self._ask("evaluate", items, whose))
        return [fault or said_of(each, _value(next(answers))) for fault, each in zip(faults, wanted, strict=True)]

    async def stop(self) -> None:
        """End the children."""
        for child in self._all:
            await child.stop()

    async def _ask(self, op: str, items: Sequence[Item], whose: str = "") -> list[Answer]:
        answers: list[Answer] = []
        while len(answers) < len(items):
            answers += await self._batch(op, items[len(answers) : len(answers) + BATCH], whose)
        return answers

    async def _batch(self, op: str, items: Sequence[Item], whose: str) -> list[Answer]:
        """Answers to the first of them, or to all."""
        try:
            async with self._free.one(whose) as child:
                return await child.ask(op, items, self._seconds)
        except ChildFailed:
            if len(items) == 1:
                log.warning("expression.refused", text=items[0]["text"][:200])
                return [{"fault": TOO_LONG}]
        return [answer for item in items for answer in await self._batch(op, [item], whose)]


def _input_fault(wanted: Evaluation) -> Fault | None:
    size = len(orjson.dumps(dict(wanted.values), option=orjson.OPT_NON_STR_KEYS))
    if size <= MAX_INPUT:
        return None
    return Fault(f"it would be given {size:,} bytes of values; at most {MAX_INPUT:,} are: hand data on as an artifact")


def _fault(answer: Answer) -> Fault:
    return Fault(answer["fault"], answer.get("position"))


def _typed(answer: Answer) -> Typed | Fault:
    return Typed(answer["type"]) if "type" in answer else _fault(answer)


def _value(answer: Answer) -> Value | Fault:
    return _fault(answer) if "fault" in answer else Value(answer["value"])
