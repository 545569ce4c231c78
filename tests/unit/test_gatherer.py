"""Gathered calls: what goes together, and that each caller gets its own answer."""

from __future__ import annotations

import asyncio

import pytest

from app.storage.gatherer import Gatherer


class Sender:
    """Doubles numbers; holds each call until it is let go when `held`."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        self.started.set()
        await self.gate.wait()
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]


async def test_each_caller_gets_its_own_answers_in_order() -> None:
    gatherer = Gatherer(sender := Sender(), 100)
    assert await asyncio.gather(gatherer.add([1, 2]), gatherer.add([]), gatherer.add([3])) == [[2, 4], [], [6]]
    assert sender.calls == [[1, 2, 3]]


async def test_what_comes_during_a_call_goes_together_with_the_next() -> None:
    gatherer = Gatherer(sender := Sender(held=True), 100)
    first = asyncio.create_task(gatherer.add([1]))
    await sender.started.wait()
    others = [asyncio.create_task(gatherer.add([n])) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    sender.gate.set()
    assert await asyncio.gather(first, *others) == [[2], [4], [6], [8]]
    assert sender.calls == [[1], [2, 3, 4]]


async def test_more_than_the_limit_goes_in_several_calls() -> None:
    gatherer = Gatherer(sender := Sender(), 2)
    assert await gatherer.add([1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]
    assert sender.calls == [[1, 2], [3, 4], [5]]


async def test_a_failed_call_fails_its_callers_and_no_others() -> None:
    gatherer = Gatherer(Sender(), 1)
    unlucky, lucky = await asyncio.gather(gatherer.add([13]), gatherer.add([1]), return_exceptions=True)
    assert isinstance(unlucky, ValueError)
    assert lucky == [2]
    assert await gatherer.add([4]) == [8]


async def test_a_caller_that_is_cancelled_takes_nobody_along() -> None:
    gatherer = Gatherer(sender := Sender(held=True), 100)
    first = asyncio.create_task(gatherer.add([1]))
    await sender.started.wait()
    left, stays = asyncio.create_task(gatherer.add([2])), asyncio.create_task(gatherer.add([3]))
    await asyncio.sleep(0)
    first.cancel()
    left.cancel()
    sender.gate.set()
    assert await stays == [6]
    assert sender.calls == [[1], [3]]
    with pytest.raises(asyncio.CancelledError):
        await first
