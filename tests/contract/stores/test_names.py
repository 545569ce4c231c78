"""Numbers of equal names: each is given once, in order, however many ask at the same time."""

from __future__ import annotations

import asyncio

from tests.contract.stores.conftest import SmallStores


async def test_numbers_count_from_one_for_each_base(small: SmallStores) -> None:
    assert [await small.names.claim("iris") for _ in range(3)] == [1, 2, 3]
    assert await small.names.claim("wine") == 1


async def test_concurrent_claims_get_different_numbers_without_a_gap(small: SmallStores) -> None:
    bases = ["iris", "wine", "iris"] * 50
    numbers = await asyncio.gather(*(small.names.claim(base) for base in bases))
    given = {base: sorted(n for b, n in zip(bases, numbers, strict=True) if b == base) for base in ("iris", "wine")}
    assert given == {"iris": list(range(1, 101)), "wine": list(range(1, 51))}


async def test_claims_of_one_process_are_few_writes(small: SmallStores) -> None:
    if small.mongo is None:
        return
    before = (await small.mongo.command("serverStatus"))["opcounters"]["command"]
    await asyncio.gather(*(small.names.claim("iris") for _ in range(200)))
    after = (await small.mongo.command("serverStatus"))["opcounters"]["command"]
    assert after - before < 60
