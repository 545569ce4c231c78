"""Clocks of a run that stand and go, on a loop whose time is waited for in hundredths."""

from __future__ import annotations

import asyncio

from tests.support.wait import until
from workers.runners.limits import Clocks


def now() -> float:
    return asyncio.get_running_loop().time()


async def passed(moment: float) -> None:
    await until(lambda: now() >= moment)


async def test_what_was_left_is_kept_while_they_stand() -> None:
    clocks, calls = Clocks(), []
    began = now()
    clocks.later(0.2, lambda: calls.append(now()))
    await passed(began + 0.05)
    clocks.stand()
    stood = min(now(), began + 0.2)
    await passed(began + 0.4)
    assert calls == []
    clocks.go()
    went = now()
    await until(lambda: calls)
    assert calls[0] - went >= 0.2 - (stood - began) - 0.005


async def test_they_stand_since_the_moment_that_is_told() -> None:
    """A supervisor that was stopped itself hears late that its runs were: time since then does not count."""
    clocks, calls = Clocks(), []
    began = now()
    clocks.later(0.1, lambda: calls.append(now()))
    while now() < began + 0.3:
        continue  # as if this process were stopped: the loop cannot look at its timers
    clocks.stand(ago=now() - began - 0.05)
    await passed(now() + 0.1)
    assert calls == []
    went = now()
    clocks.go()
    await until(lambda: calls)
    assert calls[0] - went >= 0.045


async def test_what_was_due_before_they_stood_goes_off() -> None:
    clocks, calls = Clocks(), []
    began = now()
    clocks.later(0.05, lambda: calls.append(now()))
    while now() < began + 0.2:
        continue  # the loop cannot look
    clocks.stand(ago=0.1)
    await until(lambda: calls)


async def test_a_timer_that_is_set_while_they_stand_waits_for_them() -> None:
    clocks, calls = Clocks(), []
    clocks.stand()
    clocks.stand()
    timer = clocks.later(0.01, lambda: calls.append("a"))
    clocks.later(0.01, lambda: calls.append("b"))
    await passed(now() + 0.1)
    assert calls == []
    timer.cancel()
    clocks.go()
    clocks.go()
    await until(lambda: calls)
    await passed(now() + 0.05)
    assert calls == ["b"]


async def test_an_end_stops_all() -> None:
    clocks, calls = Clocks(), []
    clocks.later(0.01, lambda: calls.append("a"))
    clocks.end()
    await passed(now() + 0.05)
    assert calls == []
