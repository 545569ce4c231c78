"""Secrets: sealed once, found by their id alone, and gone with their job."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.errors import Invalid
from app.domain.secrets import Sealed
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

SECOND = timedelta(seconds=1)


def a_secret(sealed_id: str = "job_1", job_id: str = "job_1", value: str = "Geheim-1", age: int = 0) -> Sealed:
    return Sealed(sealed_id, job_id, {"token": value, "multi": "line\nline"}, NOON - age * SECOND)


async def test_what_is_sealed_comes_back_and_is_never_changed(small: SmallStores) -> None:
    assert await small.secrets.get("job_1") is None
    await small.secrets.put(a_secret())
    await small.secrets.put(a_secret())
    await small.secrets.put(a_secret(value="other"))
    assert await small.secrets.get("job_1") == {"token": "Geheim-1", "multi": "line\nline"}


async def test_they_go_by_their_id_or_with_their_job(small: SmallStores) -> None:
    for sealed_id, job_id in (("job_1", "job_1"), ("job_1-a", "job_1"), ("job_2", "job_2"), ("job_3", "job_3")):
        await small.secrets.put(a_secret(sealed_id, job_id))
    await small.secrets.delete(["job_1-a", "job_none"])
    assert await small.secrets.get("job_1-a") is None
    assert await small.secrets.get("job_1") is not None
    await small.secrets.delete_of(["job_1", "job_2"])
    assert [await small.secrets.get(f"job_{n}") is None for n in (1, 2, 3)] == [True, True, False]


async def test_the_older_ones_are_walked_through_by_id(small: SmallStores) -> None:
    for n in range(5):
        await small.secrets.put(a_secret(f"job_{n}", f"job_{n}", age=10 * (n % 2)))
    assert await small.secrets.older(NOON, "", 10) == [("job_1", "job_1"), ("job_3", "job_3")]
    assert await small.secrets.older(NOON + SECOND, "job_1", 2) == [("job_2", "job_2"), ("job_3", "job_3")]
    assert await small.secrets.older(NOON - 10 * SECOND, "", 10) == []


async def test_what_is_too_large_is_refused_and_told_to_nobody(small: SmallStores) -> None:
    if small.mongo is None:
        pytest.skip("memory takes all")
    with pytest.raises(Invalid) as refused:
        await small.secrets.put(a_secret(value="Geheim-1" * (17 << 17)))
    assert refused.value.code == "not_storable" and "Geheim" not in refused.value.message
    assert refused.value.__cause__ is None
    assert await small.secrets.get("job_1") is None
