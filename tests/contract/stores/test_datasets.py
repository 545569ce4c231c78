"""Registered data sets: a name is taken once."""

from __future__ import annotations

from dataclasses import replace

from app.domain.records import Dataset
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

HOUSES = Dataset("houses", "data/houses.csv", "Prices", "price", NOON, {"rows": 1_000, "columns": ["a", "price"]})


async def test_a_data_set_comes_back_equal(small: SmallStores) -> None:
    assert await small.datasets.insert(HOUSES)
    assert await small.datasets.get("houses") == HOUSES
    assert await small.datasets.get("flats") is None


async def test_a_taken_name_stays_with_the_first(small: SmallStores) -> None:
    assert await small.datasets.insert(HOUSES)
    assert not await small.datasets.insert(replace(HOUSES, path="other.csv"))
    assert await small.datasets.get("houses") == HOUSES


async def test_all_are_listed_by_name_and_a_deleted_one_is_gone(small: SmallStores) -> None:
    others = [replace(HOUSES, name=name) for name in ("zebras", "apples")]
    for dataset in (HOUSES, *others):
        await small.datasets.insert(dataset)
    assert [d.name for d in await small.datasets.all()] == ["apples", "houses", "zebras"]
    assert await small.datasets.delete("houses")
    assert not await small.datasets.delete("houses")
    assert [d.name for d in await small.datasets.all()] == ["apples", "zebras"]
