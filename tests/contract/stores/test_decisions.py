"""The decision log over both drivers and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.decisions import Decision
from app.domain.ports import DecisionStore
from app.storage.decisions import MongoDecisionStore
from app.storage.memory.decisions import MemoryDecisionStore
from app.storage.mongo import connect
from tests.contract.conftest import DRIVERS

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
PLAN = {"placements": [{"job_id": "job_a", "vector": [1000, 1024, 0, 1]}], "credit": 190_000_000_000_001, "faults": {}}
FIRST = Decision("cycle_1_1", AT, 1, 1, 189_388_800_000_000, "0.1", "ab12", PLAN, {"resources": 2}, b"\x00packed")


@pytest.fixture(params=(*DRIVERS, "memory"))
async def decisions(request: pytest.FixtureRequest, mongo_uri: str, database: str) -> AsyncIterator[DecisionStore]:
    if request.param == "memory":
        yield MemoryDecisionStore()
        return
    handle = connect(mongo_uri, database, driver=request.param)
    yield MongoDecisionStore(handle)
    await handle.close()


async def test_a_decision_comes_back_as_it_was_kept(decisions: DecisionStore) -> None:
    await decisions.keep([FIRST, replace(FIRST, id="cycle_1_2", snapshot=None)])

    assert await decisions.get("cycle_1_1") == FIRST
    assert await decisions.get("cycle_1_2") == replace(FIRST, id="cycle_1_2", snapshot=None)
    assert await decisions.get("cycle_9_9") is None


async def test_the_newest_come_first_and_without_snapshots(decisions: DecisionStore) -> None:
    later = [replace(FIRST, id=f"cycle_1_{n}", cycle=n, at=AT + timedelta(seconds=n // 2)) for n in (4, 2, 3)]
    await decisions.keep([])
    await decisions.keep([FIRST, *later])

    found = await decisions.newest(3)

    assert [d.cycle for d in found] == [4, 3, 2]
    assert {d.snapshot for d in found} == {None}
    assert found[0] == replace(later[0], snapshot=None)


async def test_what_is_kept_stays_as_it_is(decisions: DecisionStore) -> None:
    await decisions.keep([FIRST])
    await decisions.keep([replace(FIRST, snapshot_hash="other")])

    assert await decisions.get("cycle_1_1") == FIRST
