"""The supervisor's side of the guard: it starts the guard, starts another when one dies, and tells it all again.

`protection` says until when, and under which epoch, runs may go on here. It is None while there is no guard, and after
the lease was lost. Whoever starts a run tells its leader before the run does anything; clocks of a run stand while its
tree is stopped, whoever stopped it, counted from the moment at which the guard says it happened.

Orders can be repeated: one that a dying guard did not answer is given to the next, once that one knows what is known.

Nothing runs unguarded when the lease may end: when no other guard could be started by the deadline that the last one
knew, all runs are killed from here and the worker ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.domain.errors import TensorFleetError
from app.domain.json import Json
from app.lifecycle import Loop
from app.startup import StartupTrouble
from workers import trees
from workers.boottime import boot_seconds
from workers.guard_link import GuardLink, GuardLost
from workers.mark import own_mark

log = structlog.get_logger()
AGAIN_SECONDS = 0.2
LONGEST_PAUSE = 5.0
LEAST_SECONDS = 1.0
"""For starting another guard, however near the deadline is: far less than the margin of the lease."""
KILL_SECONDS = 5.0
KILLED_BY_GUARD = "the node could not renew its lease in time, and its guard killed the run"


class NoGuard(TensorFleetError):
    """No guard could be started while the lease was trusted."""


class Clocks(Protocol):
    """What stands while a tree is stopped; both may be repeated. `ago`: how many seconds ago it happened."""

    def stand(self, ago: float = 0.0) -> None: ...

    def go(self, ago: float = 0.0) -> None: ...


@dataclass(frozen=True, slots=True)
class Protection:
    """Runs may go on until `until` (boot clock) under this lease epoch."""

    epoch: int
    until: float

    def lasts(self) -> bool:
        """Whether that moment is still to come."""
        return boot_seconds() < self.until


@dataclass(slots=True)
class Ward:
    """A tree under guard."""

    leader: int
    epoch: int
    clocks: Clocks
    held: bool = False


class Guarding(Loop):
    """Keeps a guard. `freeze_max` in seconds. Names of wards are the keys of runs, and one for the warm process."""

    def __init__(self, freeze_max: float) -> None:
        super().__init__("guard")
        self._freeze_max = freeze_max
        self._wards: dict[str, Ward] = {}
        self._told: Protection | None = None
        self._until = float("-inf")
        """The last deadline that was told, also when the lease was lost since."""
        self._link: GuardLink | None = None
        self._over = False
        """Set when no guard is kept any more, because of the stop or since none could be started."""
        self._holding = asyncio.Lock()
        self._up = asyncio.Event()
        self._renewed = asyncio.Event()
        self.frozen = True
        """Whether the guard has stopped everything: so it is until it was told a deadline."""

    @property
    def protection(self) -> Protection | None:
        """The present one; None when nothing may be started here now."""
        told = self._told
        there = self._up.is_set() and not self.stopping.is_set() and not self._over
        return told if there and told is not None and told.lasts() else None

    async def protected(self) -> Protection:
        """The next one that there is."""
        while (protection := self.protection) is None:
            self._renewed.clear()
            await self._renewed.wait()
        return protection

    @property
    def pid(self) -> int | None:
        """The guard's process, while there is one."""
        return self._link.process.pid if self._link is not None else None

    async def protect(self, epoch: int, until: float) -> None:
        """The lease can be trusted until then. Returns when what may go on goes on."""
        self._told, self._until = Protection(epoch, until), until
        await self._ask("deadline", epoch=epoch, at=until)
        self._renewed.set()

    async def add(self, name: str, leader: int, clocks: Clocks) -> bool:
        """Guard a tree from now on; it is stopped when the lease cannot be trusted now. False: it is not guarded, since
        it has ended, or no guard is kept any more."""
        ward = self._wards[name] = Ward(leader, self._told.epoch if self._told else 0, clocks)
        guarded = await self._ask("add", **_facts(name, ward))
        self._set_clocks()
        return guarded

    async def remove(self, name: str) -> bool:
        """A tree has ended. Answers whether it was the guard that killed it."""
        if self._wards.pop(name, None) is None:
            return False
        return await self._ask("remove", run=name) or (self._over and not self.stopping.is_set())

    async def hold(self, name: str) -> bool:
        """Stop one tree until it is let go. True: it is stopped. One at a time, so that no deadline waits for many."""
        async with self._holding:
            ward = self._wards.get(name)
            if ward is None:
                return False
            ward.held = True
            if not await self._ask("hold", run=name):
                ward.held = False
            self._set_clocks()
            return ward.held

    async def let_go(self, name: str) -> None:
        """Take back `hold`. The tree goes on, unless the lease forbids it."""
        ward = self._wards.get(name)
        if ward is not None and ward.held:
            ward.held = False
            await self._ask("let_go", run=name)
            self._set_clocks()

    async def kill(self) -> None:
        """The lease is lost: returns when nothing that ran under it lives."""
        self._told = None
        await self._ask("kill")

    async def run(self) -> None:
        try:
            while (link := self._link) is not None and await self._loses(link):
                self._up.clear()
                log.error("guard.lost", status=link.process.returncode, runs=len(self._wards))
                await self._replace()
        finally:
            self._over = True
            self._up.set()
            self._renewed.set()

    async def _loses(self, link: GuardLink) -> bool:
        """Wait until that guard has ended; False when it is to stop."""
        waits = [asyncio.ensure_future(wait) for wait in (link.gone(), self.stopping.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self.stopping.is_set()

    async def _replace(self) -> None:
        """Start another in time, however often that fails. Trees that stand may stand until they would be killed."""
        seconds = self._freeze_max if self.frozen else max(LEAST_SECONDS, self._until - boot_seconds())
        try:
            async with asyncio.timeout(seconds):
                pause = AGAIN_SECONDS
                while await self.pause(pause) and not await self._start_guard():
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError:
            if self._link is not None:
                self._link.kill()
            await asyncio.to_thread(self._kill_unguarded)
            raise NoGuard(
                "no guard could be started before the lease ends; all runs of this worker were killed"
            ) from None

    def _kill_unguarded(self) -> None:
        """What the guard would have stopped, and the fork server with it, so that nothing is started any more."""

        def find() -> trees.Processes:
            return trees.marked(own_mark()) | trees.below(ward.leader for ward in list(self._wards.values()))

        killed, alive = trees.kill(find, KILL_SECONDS)
        log.error("guard.given_up", killed=len(killed), alive=len(alive))

    async def _open(self) -> None:
        if not await self._start_guard():
            raise StartupTrouble("The guard of this node (python -m workers.guard) could not be started; see the log.")
        await super()._open()

    async def _close(self) -> None:
        self.stopping.set()
        self._up.set()
        if self._link is not None:
            await self._link.leave()
        await super()._close()

    async def _start_guard(self) -> bool:
        """Start one and tell it all that it has to know, deadline last: until then it keeps everything stopped."""
        try:
            link = self._link = await GuardLink.open(self._freeze_max, self._hear)
            answer = await link.ask("hello", runs=[_facts(name, ward) for name, ward in self._wards.items()])
            if self._told is not None:
                answer = await link.ask("deadline", epoch=self._told.epoch, at=self._told.until)
        except (GuardLost, OSError) as error:
            log.warning("guard.not_started", why=repr(error))
            return False
        self._take_in(answer)
        self._up.set()
        log.info("guard.started", guard=link.process.pid, runs=len(self._wards))
        return True

    async def _ask(self, do: str, **facts: Json) -> bool:
        while True:
            await self._up.wait()
            link = self._link
            if link is None or self._over or self.stopping.is_set():
                return False
            try:
                answer = await link.ask(do, **facts)
            except GuardLost:
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._take_in(answer)
            return bool(answer["ok"])

    def _take_in(self, answer: Mapping[str, Json]) -> None:
        if answer.get("frozen", self.frozen) != self.frozen:
            self._freeze(answer["frozen"], answer["at"])

    def _hear(self, line: Mapping[str, Json]) -> None:
        """The guard did something by itself."""
        say = log.warning if self._wards else log.debug
        say("guard.acted", did=line["event"], processes=line["processes"], runs=len(self._wards))
        if line["event"] in ("frozen", "continued"):
            self._freeze(line["event"] == "frozen", line["at"])

    def _freeze(self, frozen: bool, at: float) -> None:
        self.frozen = frozen
        self._set_clocks(max(0.0, boot_seconds() - at))

    def _set_clocks(self, ago: float = 0.0) -> None:
        for ward in list(self._wards.values()):
            if self.frozen or ward.held:
                ward.clocks.stand(ago)
            else:
                ward.clocks.go(ago)


def _facts(name: str, ward: Ward) -> dict[str, Json]:
    return {"run": name, "pid": ward.leader, "epoch": ward.epoch, "held": ward.held}
