"""The start/stop contract, by cases and by a stress test over random orders."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from app.lifecycle import Loop, LoopEnded, Service, ServiceGroup, ServiceStopped


class Probe(Service):
    """Counts its openings and closings; opens in two steps when gated."""

    def __init__(self, name: str = "probe", journal: list[str] | None = None, error: Exception | None = None) -> None:
        super().__init__(name)
        self.journal = [] if journal is None else journal
        self.error = error
        self.gate = asyncio.Event()
        self.gate.set()

    async def _open(self) -> None:
        self.journal.append(f"open {self.name}")
        await self.gate.wait()
        if self.error:
            raise self.error

    async def _close(self) -> None:
        self.journal.append(f"close {self.name}")

    def crash(self, error: Exception) -> None:
        self._fail(error)


class Ticks(Loop):
    """Does what its `step` says, once for each wake."""

    def __init__(self, error: Exception | None = None, ends: bool = False) -> None:
        super().__init__("ticks")
        self.wake = asyncio.Event()
        self.seen = asyncio.Event()
        self.count = 0
        self.error, self.ends = error, ends

    async def run(self) -> None:
        while await self.pause(60, self.wake):
            self.count += 1
            self.seen.set()
            if self.error:
                raise self.error
            if self.ends:
                return


async def test_starts_once_for_many_callers() -> None:
    probe = Probe()
    await asyncio.gather(*(probe.start() for _ in range(5)))
    await probe.start()
    assert probe.journal == ["open probe"] and probe.running
    await asyncio.gather(*(probe.stop() for _ in range(5)))
    assert probe.journal == ["open probe", "close probe"] and not probe.running and probe.done.is_set()


async def test_stop_before_start_ends_it_for_good() -> None:
    probe = Probe()
    await probe.stop()
    with pytest.raises(ServiceStopped):
        await probe.start()
    assert probe.journal == []


async def test_stop_while_starting_ends_the_start() -> None:
    probe = Probe()
    probe.gate.clear()
    starting = asyncio.create_task(probe.start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert probe.journal == ["open probe"]
    await probe.stop()
    with pytest.raises(ServiceStopped):
        await starting
    assert probe.journal == ["open probe", "close probe"]


async def test_a_cancelled_start_has_closed_before_it_ends() -> None:
    probe = Probe()
    probe.gate.clear()
    starting = asyncio.create_task(probe.start())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert probe.journal == ["open probe", "close probe"]


async def test_a_failed_start_has_closed_before_it_raises() -> None:
    probe = Probe(error=ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await probe.start()
    assert probe.journal == ["open probe", "close probe"]


async def test_a_failing_close_is_logged_not_raised() -> None:
    class Bad(Probe):
        async def _close(self) -> None:
            raise OSError("stuck")

    bad = Bad()
    await bad.start()
    await bad.stop()
    assert bad.done.is_set()


async def test_group_starts_in_order_and_stops_in_reverse() -> None:
    journal: list[str] = []
    async with ServiceGroup("all", [Probe(name, journal) for name in "abc"]):
        assert journal == ["open a", "open b", "open c"]
    assert journal[3:] == ["close c", "close b", "close a"]


async def test_group_whose_member_fails_to_start_stops_those_before() -> None:
    journal: list[str] = []
    members = [Probe("a", journal), Probe("b", journal, ValueError("b")), Probe("c", journal)]
    with pytest.raises(ValueError, match="b"):
        await ServiceGroup("all", members).start()
    assert journal == ["open a", "open b", "close b", "close a"]


async def test_group_fails_with_its_member() -> None:
    member = Probe("m")
    async with ServiceGroup("all", [Probe("other"), member]) as group:
        member.crash(RuntimeError("gone"))
        await asyncio.wait_for(group.done.wait(), 30)
        assert group.failures() == {"m": "RuntimeError: gone"}
        assert not group.running


async def test_loop_wakes_by_signal_and_stops() -> None:
    async with Ticks() as ticks:
        ticks.wake.set()
        await asyncio.wait_for(ticks.seen.wait(), 30)
    assert ticks.count == 1 and ticks.failure is None and ticks.done.is_set()


async def test_a_crashed_loop_is_reported() -> None:
    async with Ticks(error=RuntimeError("boom")) as ticks:
        ticks.wake.set()
        await asyncio.wait_for(ticks.done.wait(), 30)
        assert ticks.failures() == {"ticks": "RuntimeError: boom"}


async def test_a_loop_that_returns_by_itself_has_failed() -> None:
    async with Ticks(ends=True) as ticks:
        ticks.wake.set()
        await asyncio.wait_for(ticks.done.wait(), 30)
        assert isinstance(ticks.failure, LoopEnded)


async def test_grace_lets_a_step_finish() -> None:
    class Careful(Loop):
        grace = 5.0

        def __init__(self) -> None:
            super().__init__("careful")
            self.finished = False

        async def run(self) -> None:
            await self.stopping.wait()
            await asyncio.sleep(0)
            self.finished = True

    async with Careful() as careful:
        pass
    assert careful.finished and careful.failure is None


@pytest.mark.parametrize("seed", range(60))
async def test_any_order_of_starts_stops_and_cancels(seed: int) -> None:
    chance = random.Random(seed)
    journal: list[str] = []
    members: list[Service] = [Probe(name, journal, OSError("x") if chance.random() < 0.1 else None) for name in "abcd"]
    group = ServiceGroup("all", [*members, Ticks()])
    calls: list[asyncio.Task[None]] = []
    for _ in range(chance.randint(1, 12)):
        target = group if chance.random() < 0.6 else chance.choice(members)
        calls.append(asyncio.create_task(target.start() if chance.random() < 0.6 else target.stop()))
        if chance.random() < 0.2:
            chance.choice(calls).cancel()
        for _ in range(chance.randint(0, 4)):
            await asyncio.sleep(0)
    await asyncio.gather(*calls, return_exceptions=True)
    for service in (group, *members):
        with suppress(ServiceStopped):
            await service.stop()
    for name in "abcd":
        opened, closed = journal.count(f"open {name}"), journal.count(f"close {name}")
        assert opened == closed <= 1
    assert all(service.done.is_set() and not service.running for service in (group, *members))
