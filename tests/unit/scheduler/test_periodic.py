"""Loops that began together do not stay in step."""

from __future__ import annotations

from typing import cast

import pytest

from app.lifecycle import Loop
from app.scheduler.leader import Leader
from app.scheduler.periodic import SPREAD, Periodic


class Leads:
    """A leader."""

    leading = True


async def test_no_two_pauses_are_the_same_and_none_is_far_off(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []

    async def pause(loop: Loop, seconds: float) -> bool:
        paused.append(seconds)
        if len(paused) == 50:
            loop.stopping.set()
        return True

    async def nothing() -> None:
        """There is nothing to do."""

    monkeypatch.setattr(Loop, "pause", pause)
    await Periodic("loop", cast("Leader", Leads()), 10.0, nothing).run()
    assert len(set(paused)) == 50
    assert all(10 * (1 - SPREAD) <= seconds <= 10 * (1 + SPREAD) for seconds in paused)
