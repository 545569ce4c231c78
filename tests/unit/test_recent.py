"""Reads that may be a moment old: one load for all, and no more values than are allowed."""

from __future__ import annotations

import asyncio

import pytest

from app.recent import Recent


class Loads:
    """Counts, and answers with its number."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> int:
        self.count += 1
        return self.count


async def _loaded() -> None:
    """What can be loaded without waiting is."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_load_answers_all_who_ask_meanwhile_and_soon_after() -> None:
    recent, loads = Recent(), Loads()
    assert await asyncio.gather(*(recent.get("a", loads, 60) for _ in range(5))) == [1] * 5
    assert await recent.get("a", loads, 60) == 1
    assert await recent.get("a", loads, 0) == 2


async def test_what_is_nearly_too_old_is_loaded_while_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, loads, now = Recent(), Loads(), [0.0]
    monkeypatch.setattr("app.recent.time.monotonic", lambda: now[0])
    assert await recent.get("a", loads, 4) == 1
    now[0] = 2.9
    assert (await recent.get("a", loads, 4), loads.count) == (1, 1)
    now[0] = 3.0
    assert await recent.get("a", loads, 4) == 1
    await _loaded()
    assert await recent.get("a", loads, 4) == 2
    now[0] = 7.0
    assert await recent.get("a", loads, 4) == 3, "a value is never older than was asked for"


async def test_a_load_that_fails_beside_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, loads, now = Recent(), Loads(), [0.0]
    monkeypatch.setattr("app.recent.time.monotonic", lambda: now[0])

    async def fails() -> int:
        raise ValueError("away")

    assert await recent.get("a", loads, 4) == 1
    now[0] = 3.0
    assert await recent.get("a", fails, 4) == 1
    await _loaded()
    assert await recent.get("a", fails, 4) == 1
    await _loaded()
    now[0] = 4.0
    with pytest.raises(ValueError, match="away"):
        await recent.get("a", fails, 4)


async def test_what_is_forgotten_while_it_is_loaded_is_loaded_anew() -> None:
    recent, loads, gate = Recent(), Loads(), asyncio.Event()

    async def slow() -> int:
        await gate.wait()
        return 0

    first = asyncio.create_task(recent.get("a", slow, 60))
    await asyncio.sleep(0)
    recent.forget("a")
    gate.set()
    assert (await first, await recent.get("a", loads, 60)) == (0, 1)


async def test_of_more_values_than_fit_the_oldest_goes() -> None:
    recent, loads = Recent(most=2), Loads()
    for name in ("a", "b", ("c", 1)):
        await recent.get(name, loads, 60)
    assert await recent.get(("c", 1), loads, 60) == 3
    assert await recent.get("b", loads, 60) == 2
    assert await recent.get("a", loads, 60) == 4


async def test_a_value_that_is_loaded_anew_is_the_newest() -> None:
    recent, loads = Recent(most=2), Loads()
    await recent.get("a", loads, 60)
    await recent.get("b", loads, 60)
    await recent.get("a", loads, 0)
    await recent.get("c", loads, 60)
    assert await recent.get("a", loads, 60) == 3


async def test_a_failed_load_is_not_remembered() -> None:
    recent, loads = Recent(), Loads()

    async def fails() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        await recent.get("a", fails, 60)
    assert await recent.get("a", loads, 60) == 1


async def test_a_reminder_is_not_given_again_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    recent, loads, now = Recent(nearly=1.0), Loads(), [0.0]
    monkeypatch.setattr("app.recent.time.monotonic", lambda: now[0])
    for moment, want in ((0.0, 1), (3.9, 1), (4.0, 2)):
        now[0] = moment
        await recent.get("a", loads, 4)
        await _loaded()
        assert loads.count == want
