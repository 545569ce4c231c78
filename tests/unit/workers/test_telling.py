"""What a node tells of itself at its beat."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.nodes import NodeReport
from app.services import Services
from tests.support.clock import FixedClock
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.scheduler.builders import a_node
from workers.telling import Telling
from workers.usage import Seen, TreeWatch


class World:
    """A node, its watch, and how often it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FixedClock()
        self.services: Services = memory_services(self.clock, FakeHealth())
        self.watch = TreeWatch()
        self.telling = Telling(self.services, "n1", self.watch)
        self.written: list[NodeReport] = []
        self.moment = 100.0
        report = self.services.nodes.report

        async def counted(node_id: str, said: NodeReport, epoch: int) -> None:
            self.written.append(said)
            await report(node_id, said, epoch)

        monkeypatch.setattr(self.services.nodes, "report", counted)
        monkeypatch.setattr("workers.telling.moment", lambda: self.moment)

    async def beat(self, later: float = 10.0, epoch: int = 1) -> NodeReport:
        self.moment += later
        self.clock.advance(later)
        await self.telling.tell(epoch)
        return self.written[-1]

    def look(self, *processes: tuple[int, float, float]) -> None:
        """A process: its number, MiB, processor seconds. Each is a tree of its own."""
        for pid, _, _ in processes:
            if pid not in self.watch._watched:
                self.watch.add(pid, 0, 0.0, lambda _: None)
        self.watch.take_in(Seen(pid, 1, 0.0, memory, seconds) for pid, memory, seconds in processes)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_cores_are_processor_seconds_between_beats_and_memory_is_that_of_now(world: World) -> None:
    await world.services.nodes.register(a_node("n1"))
    await world.beat()
    world.look((7, 100.0, 5.0), (8, 50.0, 10.0))
    assert (await world.beat()).cpu_cores == 1.5
    world.look((7, 80.0, 25.0), (8, 20.0, 10.0))
    said = await world.beat()
    assert (said.cpu_cores, said.memory_mib) == (2.0, 100.0)
    assert (await world.services.nodes.all())[0].report == said


async def test_what_ended_between_two_beats_counts_once_and_then_no_more(world: World) -> None:
    await world.beat()
    world.look((7, 100.0, 5.0))
    world.watch.remove(7)
    world.watch.remove(7)
    said = await world.beat()
    assert (said.cpu_cores, said.memory_mib) == (0.5, 0.0)
    assert (await world.beat()).cpu_cores == 0.0


async def test_an_idle_node_is_silent_until_it_has_news(world: World) -> None:
    for _ in range(4):
        await world.beat()
    assert len(world.written) == 1
    world.services.refusals.note("end")
    assert (await world.beat()).refused == {"end": 1}
    await world.beat()
    assert len(world.written) == 2


async def test_a_busy_node_says_so_at_each_beat_and_once_that_it_is_idle(world: World) -> None:
    world.look((7, 100.0, 0.0))
    for _ in range(3):
        await world.beat()
    assert len(world.written) == 3
    world.watch.remove(7)
    for _ in range(3):
        said = await world.beat()
    assert len(world.written) == 4
    assert (said.cpu_cores, said.memory_mib) == (0.0, 0.0)


async def test_what_could_not_be_written_is_told_at_the_next_beat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(world.services.nodes, "report", away)
        with pytest.raises(ConnectionError):
            await world.beat()
    assert replace(await world.beat(), at=world.clock.now()) == world.written[0]
