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


async def test_claims_one_after_the_other_are_few_writes(small: SmallStores) -> None:
    if small.mongo is None:
        return
    before = (await small.mongo.command("serverStatus"))["opcounters"]["command"]
    assert [await small.names.claim("iris") for _ in range(200)] == list(range(1, 201))
    after = (await small.mongo.command("serverStatus"))["opcounters"]["command"]
    assert after - before < 60


async def test_what_was_claimed_ahead_is_given_before_more_is_claimed(small: SmallStores) -> None:
    """Claims wait while another is under way that leaves some ahead."""

    async def claims(late: int) -> list[int]:
        for _ in range(late):
            await asyncio.sleep(0)
        return [await small.names.claim("iris") for _ in range(20)]

    given = sorted(n for each in await asyncio.gather(*(claims(2 * n) for n in range(8))) for n in each)
    assert given == list(range(1, 161))


async def test_many_names_are_claimed_together_each_from_its_own_number_on(small: SmallStores) -> None:
    await small.names.claim("iris")
    assert await small.names.claim_many({"iris": 3, "wine": 2}) == {"iris": 2, "wine": 1}
    assert [await small.names.claim(base) for base in ("iris", "wine")] == [5, 3]
    assert await small.names.claim_many({}) == {}


async def test_claims_of_many_that_meet_share_no_number(small: SmallStores) -> None:
    wanted = {f"name-{n}": 1 + n % 3 for n in range(1_200)}
    claims = await asyncio.gather(*(small.names.claim_many(wanted) for _ in range(4)), small.names.claim("name-2"))
    for base, more in wanted.items():
        firsts = [claim[base] for claim in claims if isinstance(claim, dict)]
        given = [n for first in firsts for n in range(first, first + more)]
        if base == "name-2":
            given.append(next(claim for claim in claims if isinstance(claim, int)))
        assert len(set(given)) == len(given), base
