"""The stack under faults: real stores behind wires, APIs and workers as processes, a client, and eyes on all of it.

Each process has wires of its own, named like the process, so that one of them can be cut off alone: to Redis, and to
MongoDB when that is a single server. The lease is scaled (`PACE`); everything else is as in production. `outcome()`
brings the scenario to rest, gathers what was seen, and has the checker judge it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.dev.valkey import Valkey
from app.domain.states import TERMINAL
from tests.chaos.bodies import witnessed
from tests.chaos.checker import Violation, broken, check
from tests.chaos.client import Client
from tests.chaos.disk import small_disk
from tests.chaos.moments import boot_time, elapse
from tests.chaos.observation import Figure, Mark, Observation, read_marks
from tests.chaos.part import Part
from tests.chaos.setting import Setting, environment
from tests.chaos.stores import MongoSet, Server, mongo_set, valkey
from tests.chaos.subscriber import Subscriber
from tests.chaos.watcher import Watcher
from tests.chaos.wire import Wire
from tests.support.ports import own_port
from tests.support.wait import until

API, WORKER = "api", "node"
HEARD_SECONDS = 30.0
"""How long after rest the streams may take to deliver the last events."""
LATE_SECONDS = 0.5
"""How long is looked for signs of life after rest."""
EMPTY_SECONDS = 60.0
"""How long the ledger is given to become empty once every job has ended: the reconciler's grace, and some."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scenario came to."""

    seen: Observation
    violations: Sequence[Violation]

    @property
    def broken(self) -> set[str]:
        return broken(self.violations)


class Laboratory:
    """A running stack. Made by `laboratory`."""

    def __init__(self, folder: Path, setting: Setting, mongo: MongoSet, redis: Server[Valkey]) -> None:
        self.folder = folder
        self.setting = setting
        self.mongo = mongo
        self.redis = redis
        self.database = f"chaos_{os.urandom(4).hex()}"
        self.marks_file = folder / "marks.jsonl"
        self.apis: list[Part] = []
        self.nodes: list[Part] = []
        self.mongo_wires: dict[str, Wire] = {}
        self.redis_wires: dict[str, Wire] = {}
        self.figures: list[Figure] = []
        self._held = AsyncExitStack()
        self.urls = [f"http://127.0.0.1:{own_port()}" for _ in range(setting.apis)]
        self.client = Client(self.urls)
        self.subscribers = [Subscriber(self.urls) for _ in range(setting.subscribers)]
        self.watcher = Watcher(self.direct_uri(), self.database, redis.running.url, lambda: [*self.apis, *self.nodes])

    def direct_uri(self) -> str:
        """MongoDB past the wires of single processes: for looking from outside."""
        if self.setting.members > 1:
            return self.mongo.uri
        return f"mongodb://127.0.0.1:{self.mongo.members[0].port}/?directConnection=true"

    async def open(self) -> None:
        """Start everything: the APIs, then the nodes, then the eyes."""
        await self._held.enter_async_context(self.client)
        for url in self.urls:
            port = url.rpartition(":")[2]
            self.apis.append(await self._part(f"{API}-{len(self.apis) + 1}", "serve", {"PORT": port}))
        await asyncio.gather(*(self._start(part) for part in self.apis))
        self.nodes = [await self._node(f"{WORKER}-{n + 1}") for n in range(self.setting.nodes)]
        await asyncio.gather(*(self._start(part) for part in self.nodes))
        for subscriber in self.subscribers:
            subscriber.start()
            self._held.push_async_callback(subscriber.stop)
            await until(subscriber.opened.is_set)
        self.watcher.start()

    async def close(self) -> None:
        for part in (*self.apis, *self.nodes):
            part.thaw()
        await self.watcher.close()
        await self._held.aclose()

    async def restart(self, part: Part) -> None:
        """Start a part again with the same settings and as unprotected as before, without further faults."""
        await part.start(without=self.setting.without)

    def node(self, name: str) -> Part:
        """The worker of this node."""
        return next(node for node in self.nodes if node.name == name)

    async def submit_witnessed(self, seconds: float, *traits: str, **fields: Any) -> str:
        """One job that leaves marks; its id."""
        return await self.client.submit(witnessed(self.marks_file, seconds, *traits, **fields))

    async def began(self, job_id: str, run_no: int = 1, seconds: float = 60.0) -> Mark:
        """The first mark of this run or a later one."""

        def find() -> Mark | None:
            marks = read_marks(self.marks_file)
            return next((m for m in marks if m.job_id == job_id and m.run_no >= run_no), None)

        mark = await until(find, seconds, every=0.02, message=f"run {run_no} of {job_id} to begin")
        assert mark is not None
        return mark

    def marks_of(self, job_id: str) -> list[Mark]:
        """The marks of one job so far."""
        return [mark for mark in read_marks(self.marks_file) if mark.job_id == job_id]

    def twin(self, of: Part) -> Part:
        """Another worker that claims to be the same node on the same machine. Not yet started."""
        twin = Part(f"{of.name}-twin", self.folder, of.env, "worker", light=self.setting.light)
        self._held.push_async_callback(twin.close)
        return twin

    def figure(self, name: str, value: float, unit: str = "s", at_most: float | None = None) -> None:
        """Note something measured, and what it may be at most; seconds may be longer by the setting's patience."""
        if at_most is not None and unit == "s":
            at_most *= self.setting.patience
        self.figures.append(Figure(name, value, unit, at_most))

    async def at_rest(self, seconds: float) -> None:
        """Wait until every answered job has ended and nothing is allocated, at most so long; then mark the moment."""
        await self.client.all_ended(seconds)

        async def empty() -> bool:
            nodes = await self.watcher.look_at_nodes()
            return len(nodes) >= self.setting.nodes and not any(node.allocations for node in nodes)

        await until(empty, EMPTY_SECONDS, every=0.1)

    async def outcome(self, seconds: float = 60.0) -> Outcome:
        """Come to rest, or give up after so long, and judge."""
        rest_at = None
        try:
            await self.at_rest(seconds)
            rest_at = boot_time()
        except AssertionError:
            pass
        await elapse(LATE_SECONDS)
        seen = await self._observation(rest_at)
        return Outcome(seen, check(seen) + _never_rested(seen))

    async def _observation(self, rest_at: float | None) -> Observation:
        jobs = await self.client.jobs()
        await self._all_heard(jobs)
        for subscriber in self.subscribers:
            await subscriber.stop()
        await self.watcher.stop()
        return Observation(
            answered=list(self.client.answered),
            jobs=jobs,
            marks=read_marks(self.marks_file),
            nodes=self.watcher.nodes,
            heard=[subscriber.heard for subscriber in self.subscribers],
            resources=self.watcher.resources,
            figures=self.figures,
            rest_at=rest_at,
        )

    async def _all_heard(self, jobs: Mapping[str, Any]) -> None:
        """Give the streams their seconds to deliver the last events; what is missing then is the checker's to say."""
        wanted = {(job_id, entry["seq"]) for job_id, job in jobs.items() for entry in job["history"]}

        def all_have() -> bool:
            for subscriber in self.subscribers:
                subscriber.read_again(jobs)
            return all(subscriber.heard.keys() >= wanted for subscriber in self.subscribers)

        with suppress(AssertionError):
            await until(all_have, HEARD_SECONDS, every=0.05)

    async def _start(self, part: Part) -> None:
        await part.start(without=self.setting.without, faults=self.setting.faults.get(part.name, ()))

    async def _node(self, name: str) -> Part:
        if self.setting.disk_mib is not None:
            self._held.enter_context(small_disk(self.folder / name / "data", self.setting.disk_mib))
        return await self._part(name, "worker", {"NODE_ID": name, **self.setting.own.get(name, {})})

    async def _part(self, name: str, command: str, own: Mapping[str, str]) -> Part:
        redis = self.redis_wires[name] = await self._held.enter_async_context(Wire(self.redis.port))
        uri = self.mongo.uri
        if self.setting.members == 1:
            mongo = self.mongo_wires[name] = await self._held.enter_async_context(Wire(self.mongo.members[0].port))
            uri = f"mongodb://127.0.0.1:{mongo.port}/?directConnection=true"
        env = {
            **environment(self.setting.pace),
            "MONGODB_URI": uri,
            "MONGODB_DATABASE": self.database,
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
            "DATA_DIR": str(self.folder / name / "data"),
            **own,
            **(self.setting.env or {}),
        }
        part = Part(name, self.folder, env, command, light=self.setting.light)
        self._held.push_async_callback(part.close)
        return part


def _never_rested(seen: Observation) -> list[Violation]:
    """A scenario that does not come to rest has lost a job or a place, also when each job gives a reason."""
    if seen.rest_at is not None:
        return []
    left = sorted(f"{job_id} {job['status']}" for job_id, job in seen.jobs.items() if job["status"] not in TERMINAL)
    return [Violation("rest", "the stack", f"did not come to rest: {', '.join(left[:10]) or 'places are held'}")]


@asynccontextmanager
async def laboratory(folder: Path, setting: Setting) -> AsyncIterator[Laboratory]:
    """A stack as `setting` says, started; everything of it is gone afterwards."""
    async with mongo_set(folder, setting.members, setting.oplog_mb) as mongo, valkey(folder) as redis:
        lab = Laboratory(folder, setting, mongo, redis)
        try:
            await lab.open()
            yield lab
        finally:
            await lab.close()
