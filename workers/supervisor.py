"""The supervisor of a node: everything that a worker process does, as one service.

Start: lock the node, load the fork server, end what an earlier supervisor left, take the lease, register, settle, and
listen. Stop: take no more work, give runs their grace, end the others and put them back in the queue (`drained`, no
attempt used), say goodbye, release the lease. Redis being away, or arq ending, stops nothing here.

The guard stands before the lease: it is there before the first lease is used, and ends after the last run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import structlog

from app.domain.errors import Unavailable
from app.domain.nodes import NodeState
from app.domain.ports import ROOM_BELL, Lease
from app.lifecycle import Service
from app.services import Services
from workers.claims import Claims
from workers.controls import Controls
from workers.doorbell import Doorbell, Drain, arq_drain
from workers.draining import Draining, wait_for_ends
from workers.ends import Ends
from workers.execution import Executor
from workers.guarding import Guarding
from workers.heart import Heart
from workers.home import NodeHome
from workers.keeper import Keeper
from workers.live import LiveRuns
from workers.node_facts import describe, detect
from workers.processors import Processors, own_cpus
from workers.run import RunEnding, Runner
from workers.runners.inline import InlineRunner
from workers.runners.nursery import Nursery
from workers.runners.process import ProcessRunner
from workers.scribe import Scribe
from workers.settling import give_back_scheduled, settle_running
from workers.telling import Telling
from workers.tenure import take_lease
from workers.usage import TreeWatch

log = structlog.get_logger()
COMMIT_SECONDS = 5.0
"""How long a stopping worker waits for the ends of its runs to be stored, beyond the kill grace."""
GOODBYE_SECONDS = 3.0


class Supervisor(Service):
    """One node. `services` must be open as long as it lives; `drain` makes the node's door."""

    def __init__(self, services: Services, node_id: str, drain: Callable[[Services, str], Drain] = arq_drain) -> None:
        super().__init__("supervisor")
        node = services.settings.node
        self.node_id = node_id
        self.runs = LiveRuns()
        self.impatient = asyncio.Event()
        """Set to end a stop's waiting for runs to finish by themselves."""
        self._services = services
        self._held = ExitStack()
        self._home = NodeHome(services.settings.data.directory, node_id)
        self._nursery = Nursery()
        self._watch = TreeWatch()
        self._telling = Telling(services, node_id, self._watch)
        self._scribe = Scribe(services, self.runs)
        self._keeper = Keeper(services, self._home, self.runs, lambda: self._guard.frozen)
        self._ends = Ends(services, COMMIT_SECONDS)
        kill_grace = node.kill_grace.total_seconds()
        self._guard = Guarding(services.settings.lease.freeze_max.total_seconds())
        self._inline = InlineRunner(self._nursery, self._guard, kill_grace)
        preempt_grace = services.settings.scheduler.preempt_grace.total_seconds()
        apart = ProcessRunner(self._nursery, self._watch, self._guard, kill_grace, preempt_grace)
        runners: dict[str, Runner] = {"process": apart, "inline": self._inline}
        self._executor = Executor(
            services, self._home, runners, Processors(own_cpus()), self.runs, self._scribe, self._ends
        )
        self._claims = Claims(services, node_id, self.runs, self._executor.begin, self._guard)
        self._controls = Controls(services, self.runs)
        self._draining = Draining(services, node_id, self.runs, self._claims)
        self._doorbell = Doorbell(services, node_id, self._claims, self._look, drain(services, node_id))
        self._heart: Heart | None = None

    async def _open(self) -> None:
        self._held.enter_context(self._home)
        await self._nursery.open()
        await self._start(self._guard)
        await asyncio.to_thread(self._home.clear)
        lease = await self._register()
        await settle_running(self._services, self.node_id, ending=RunEnding.CRASHED)
        self._heart = Heart(self._services, lease, self._guard, self._on_beat, self._on_fenced)
        for part in (self._watch, self._ends, self._scribe, self._keeper, self._draining, self._heart, self._doorbell):
            await self._start(part)

    async def _start(self, part: Service) -> None:
        part.on_failure(lambda _, error: self._fail(error))
        await part.start()

    async def _register(self) -> Lease:
        """Take the node's lease, when it is free or ours, and be ready."""
        settings = self._services.settings
        lease = await take_lease(self._services, self.node_id, self._home.holder(), self._guard)
        machine = await asyncio.to_thread(detect, self._home.folder)
        node = describe(self.node_id, machine, settings, lease.epoch, self._services.clock.now())
        await self._services.nodes.register(node)
        await self._services.bells.ring(ROOM_BELL)
        log.info("node.registered", node_id=node.id, epoch=node.epoch, logical=node.logical, **node.capacity.units())
        return lease

    async def _on_beat(self) -> None:
        """What bells missed, and what went wrong here: a job that says RUNNING and has no run is settled."""
        await self._claims.sweep()
        await self._look()
        await settle_running(self._services, self.node_id, but=self._claims)
        if self._heart is not None:
            await self._telling.tell(self._heart.lease.epoch)

    async def _look(self) -> None:
        """What users want of this node and of its runs."""
        await self._draining.look()
        await self._controls.look()

    async def _on_fenced(self) -> Lease:
        """The runs are no longer ours: none may live when the node is ready again, and none may begin before."""
        self._claims.close("fenced")
        self.runs.stop_all(RunEnding.FENCED, "the node lost its lease")
        await self._guard.kill()
        await self.runs.all_ended(self._services.settings.lease.duration.total_seconds())
        lease = await self._register()
        await settle_running(self._services, self.node_id, but=self._claims)
        self._claims.open("fenced")
        return lease

    async def _close(self) -> None:
        if self._heart is not None:
            await self._take_no_more()
            await self._end_runs()
            await self._inline.close()
            await self._say_goodbye(self._heart)
        for part in (self._keeper, self._scribe, self._ends, self._watch):
            await part.stop()
        await self._guard.stop()
        self._nursery.close()
        self._held.close()

    async def _take_no_more(self) -> None:
        self._claims.close("stopping")
        await self._doorbell.stop()
        await self._quietly("draining", self._set_state(NodeState.DRAINING, "the worker is stopping"))
        await self._draining.stop()
        await self._quietly("give_back", give_back_scheduled(self._services, self.node_id))

    async def _end_runs(self) -> None:
        """Short runs may finish; the others go back to the queue."""
        node = self._services.settings.node
        await wait_for_ends(self.runs, node.drain_grace.total_seconds(), self.impatient)
        await self._drain_runs(node.kill_grace.total_seconds() + COMMIT_SECONDS)

    async def _drain_runs(self, seconds: float) -> None:
        self.runs.stop_all(RunEnding.DRAINED, "the worker is stopping")
        if not await self.runs.all_ended(seconds):
            log.error("worker.runs_left", runs=len(self.runs))

    async def _say_goodbye(self, heart: Heart) -> None:
        """Claims that were answered late began a run meanwhile, or were cut off: neither may be left behind RUNNING.
        And nothing may live when the lease is given back, since others take what it covered at once."""
        await heart.stop()
        await self._drain_runs(GOODBYE_SECONDS)
        if self.runs:
            await self._guard.kill()
        settled = settle_running(self._services, self.node_id, but=self._claims, ending=RunEnding.DRAINED)
        await self._quietly("settle", settled)
        await self._quietly("gone", self._set_state(NodeState.LOST, "the worker stopped"))
        await self._quietly("give_back_lease", self._services.leases.give_back(heart.lease))

    async def _set_state(self, state: NodeState, reason: str) -> None:
        """Of the registration that this worker made; a later one, after it was fenced, says its own."""
        epoch = self._heart.lease.epoch if self._heart is not None else None
        await self._services.nodes.set_state(self.node_id, state, reason, self._services.clock.now(), epoch)

    async def _quietly(self, what: str, act: Awaitable[object]) -> None:
        """A stop goes on without a store: whatever it could not say is found out when the lease ends."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await act
        except (Unavailable, TimeoutError) as error:
            log.warning("worker.goodbye_unsaid", what=what, why=str(error))
