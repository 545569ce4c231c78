"""Clocks of a run that stand and go, on a loop whose time is the test's."""

from __future__ import annotations

import asyncio

import pytest

from workers.runners.limits import Clocks


class Time:
    """What the running loop takes for the time, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)

    def leaps(self, seconds: float) -> None:
        """It passes while the loop cannot look at its timers, as when this process is stopped."""
        self.now += seconds

    async def passes(self, seconds: float) -> None:
        """The loop looks at its timers afterwards, and calls those that are due."""
        self.now += seconds
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


async def test_what_was_left_is_kept_while_they_stand(time: Time) -> None:
    clocks, calls = Clocks(), list[float]()
    clocks.later(0.2, lambda: calls.append(time.now))
    await time.passes(0.05)
    clocks.stand()
    await time.passes(10)
    assert calls == []
    clocks.go()
    await time.passes(0.14)
    assert calls == []
    await time.passes(0.02)
    assert len(calls) == 1


async def test_they_stand_since_the_moment_that_is_told(time: Time) -> None:
    """A supervisor that was stopped itself hears late that its runs were: time since then does not count."""
    clocks, calls = Clocks(), list[float]()
    clocks.later(0.1, lambda: calls.append(time.now))
    time.leaps(0.3)
    clocks.stand(ago=0.25)
    await time.passes(10)
    assert calls == []
    clocks.go()
    await time.passes(0.04)
    assert calls == []
    await time.passes(0.02)
    assert len(calls) == 1


async def test_they_go_since_the_moment_that_is_told(time: Time) -> None:
    clocks, calls = Clocks(), list[float]()
    clocks.later(0.1, lambda: calls.append(time.now))
    clocks.stand()
    time.leaps(10)
    clocks.go(ago=0.08)
    await time.passes(0.01)
    assert calls == []
    await time.passes(0.02)
    assert len(calls) == 1


async def test_what_was_due_before_they_stood_goes_off(time: Time) -> None:
    clocks, calls = Clocks(), list[float]()
    clocks.later(0.05, lambda: calls.append(time.now))
    time.leaps(0.2)
    clocks.stand(ago=0.1)
    await time.passes(0)
    assert len(calls) == 1


async def test_a_timer_that_is_set_while_they_stand_waits_for_them(time: Time) -> None:
    clocks, calls = Clocks(), list[str]()
    clocks.stand()
    clocks.stand()
    timer = clocks.later(0.01, lambda: calls.append("a"))
    clocks.later(0.01, lambda: calls.append("b"))
    await time.passes(10)
    assert calls == []
    timer.cancel()
    clocks.go()
    clocks.go()
    await time.passes(0.02)
    assert calls == ["b"]


async def test_an_end_stops_all(time: Time) -> None:
    clocks, calls = Clocks(), list[str]()
    clocks.later(0.01, lambda: calls.append("a"))
    clocks.end()
    await time.passes(10)
    assert calls == []
