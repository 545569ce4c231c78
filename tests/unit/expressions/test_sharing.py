"""Things given in turn."""

from __future__ import annotations

import asyncio

from app.storage.sharing import Shared


async def test_whoever_waits_gets_one_before_anybody_gets_two() -> None:
    shared, got = Shared(["thing"]), list[str]()
    free = asyncio.Event()

    async def use(whose: str) -> None:
        async with shared.one(whose):
            got.append(whose)
            await free.wait()

    tasks = [asyncio.create_task(use(whose)) for whose in ("a", "a", "a", "b", "c", "b")]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(*tasks)
    assert got == ["a", "a", "b", "c", "a", "b"]


async def test_one_that_is_given_up_while_it_is_given_goes_to_the_next() -> None:
    shared, got = Shared([1]), list[str]()

    async def use(whose: str) -> None:
        async with shared.one(whose):
            got.append(whose)

    async with shared.one("first"):
        waits, gone, other = (asyncio.create_task(use(whose)) for whose in ("waits", "gone", "other"))
        await asyncio.sleep(0)
        gone.cancel()
    waits.cancel()  # its turn is given, and it has not gone on yet
    await asyncio.gather(waits, gone, other, return_exceptions=True)
    assert got == ["other"]
    async with shared.one("again") as thing:
        assert thing == 1
