"""A story, the stage it is told on, and the killer.

A story is a coroutine that submits, waits for the end, checks it, and answers the jobs that there must be. The points
of it have names: the beginning of a traced step (`NAME`, or `NAME#2` for the second beginning of that name), and what
the coroutine says it has reached. The killer kills at points, one process after the other; a step at whose beginning
somebody is killed does not end before, so each death is in the middle of the story however busy the machine is.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.stories import traced
from tests.e2e.stories.cluster import Cluster, Role
from tests.support.wait import until

SMALL = {"cpu_cores": 0.1, "memory_gb": 0.125, "storage_gb": 0}
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}


class Began(NamedTuple):
    """A run that really began."""

    name: str
    job_id: str
    run_no: int


@dataclass(frozen=True, slots=True)
class Told:
    """The jobs of a story: what finds them, and the ids that they must have."""

    wanted: Mapping[str, str]
    job_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Story:
    """`kills`: who is killed at which point, in their order."""

    tell: Callable[[Stage], Awaitable[Told]]
    kills: Sequence[tuple[Role, str]]

    @property
    def name(self) -> str:
        return self.tell.__name__


@dataclass
class Stage:
    """Where one story is told."""

    cluster: Cluster
    folder: Path
    kills: Sequence[tuple[Role, str]] = ()
    patience: float = 150.0
    """Seconds within which what is awaited must come."""
    reached: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.folder / "gates").mkdir(parents=True)
        for _, point in self.kills:
            self._gate(point).touch()

    def _gate(self, point: str) -> Path:
        return self.folder / "gates" / point

    def work(self, name: str, *options: str, out: Any = None, seconds: float = 0.1) -> dict[str, Any]:
        """Parameters of the template `command`: a traced step. `options`: see `tests.e2e.stories.traced`."""
        put = [] if out is None else ["--out", json.dumps(out)]
        program = ["python", "-I", "-S", traced.__file__, str(self.folder), name, "--seconds", str(seconds)]
        return {"command": [*program, *put, *options]}

    def began(self) -> list[Began]:
        """The runs that began, in order."""
        trace = self.folder / "trace"
        lines = trace.read_text().splitlines() if trace.exists() else []
        return [Began(name, job_id, int(run_no)) for name, job_id, run_no in map(str.split, lines)]

    def names(self) -> list[str]:
        return [run.name for run in self.began()]

    def _is_reached(self, point: str) -> bool:
        name, _, place = point.partition("#")
        return point in self.reached or self.names().count(name) >= int(place or 1)

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self.cluster.client.request("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """Under a key, as often as it takes to be answered."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        answer = await self.cluster.client.request("POST", path, json=body, headers=headers)
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def when(self, path: str, so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What stands at the path once it is so."""

        async def found() -> dict[str, Any] | None:
            now = await self.get(path)
            return now if so(now) else None

        answer = await until(
            found, self.patience, every=0.1, message=f"{path} never is as awaited; began: {self.names()}"
        )
        assert answer is not None
        return answer

    async def over(self, path: str) -> dict[str, Any]:
        """What stands at the path once it has ended."""
        return await self.when(path, lambda now: now["status"] in OVER)

    async def most_at_once(self, job_ids: Sequence[str]) -> int:
        """How many of these jobs were in the queue or further at the same time, by their histories."""
        moments: list[tuple[str, int]] = []
        for job_id in job_ids:
            history = (await self.get(f"/jobs/{job_id}"))["history"]
            begun = next(entry["at"] for entry in history if entry["to"] == "QUEUED")
            moments += [(begun, 1), (history[-1]["at"], -1)]
        return max(accumulate(change for _, change in sorted(moments)))

    async def kill_on_cue(self, telling: asyncio.Task[Told]) -> None:
        """The killer: each kill at its point, the killed restored before the next."""
        for role, point in self.kills:
            await until(partial(self._is_reached, point), self.patience, message=f"{point} is reached")
            assert not telling.done(), f"the story was over at {point}"
            killed = await self.cluster.kill(role)
            self._gate(point).unlink()
            await self.cluster.restore(killed)


async def perform(story: Story, stage: Stage) -> None:
    """Tell it while the processes are killed, and check what holds of every story."""
    telling = asyncio.ensure_future(story.tell(stage))
    killing = asyncio.ensure_future(stage.kill_on_cue(telling))
    try:
        await asyncio.wait([telling, killing], return_when=asyncio.FIRST_EXCEPTION)
        if killing.done():
            killing.result()
        told = await telling
        await killing
    finally:
        for task in (telling, killing):
            task.cancel()
        await asyncio.gather(telling, killing, return_exceptions=True)
    await check_jobs(stage, told)


async def check_jobs(stage: Stage, told: Told) -> None:
    """I7: each child was released once. No run began twice, and none after its job had completed; no more were begun
    anew than deaths of the worker explain."""
    listed = await stage.cluster.client.listed(**told.wanted)
    assert sorted(listed) == sorted(told.job_ids)
    began = Counter((run.job_id, run.run_no) for run in stage.began())
    assert max(began.values(), default=1) == 1, "a run began twice"
    assert {job_id for job_id, _ in began} <= {*listed}
    for job_id in listed:
        runs = {run_no for began_id, run_no in began if began_id == job_id}
        _check_runs(await stage.get(f"/jobs/{job_id}"), runs, sum(role == "worker" for role, _ in stage.kills))


def _check_runs(job: Mapping[str, Any], began: set[int], deaths: int) -> None:
    """`began`: its runs that left a trace; `deaths`: of the worker."""
    outcomes = {attempt["run_no"]: attempt["outcome"] for attempt in job["attempts"]}
    completed = [run_no for run_no, outcome in outcomes.items() if outcome == "completed"]
    assert completed == [job["run_no"]] * (job["status"] == "COMPLETED"), job
    assert began <= {*outcomes}, job
    assert not began or {*completed} <= began, job
    assert sum(outcome == "worker_lost" for outcome in outcomes.values()) <= deaths, job
    assert [entry["seq"] for entry in job["history"]] == [*range(1, len(job["history"]) + 1)], job
