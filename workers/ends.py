"""The ends of runs, committed together: whatever has ended while a commit was under way goes with the next one.

Nothing is added when idle: the first end is committed at once. A change that lost its race is decided again on the job
as it is now; a job that is no longer in that run is left alone, since somebody with the right to it has decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.capacity.kinds import NodeTypes
from app.domain.job import Job
from app.domain.nodes import Node, matches
from app.domain.resources import Vector
from app.domain.transitions import Change
from app.lifecycle import Loop
from app.operations.change import commit_all
from app.services import Services
from workers.outcome import Ending, decide, is_live
from workers.patience import chance, until_answered
from workers.run import RunEnding, RunReport

log = structlog.get_logger()
BATCH = 500
REFUSED = "the result could not be stored: "


@dataclass(eq=False, slots=True)
class _Waiting:
    """An end to be committed. `job` is the newest that is known of it."""

    job: Job
    ending: Ending
    done: asyncio.Future[Job | None]


class Ends(Loop):
    """Commits the ends of runs. At its stop it finishes what was handed in, within `grace`."""

    def __init__(self, services: Services, grace: float) -> None:
        super().__init__("run_ends")
        self.grace = grace
        self._services = services
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()

    async def commit(self, job: Job, ending: Ending) -> Job | None:
        """The job after the run's end is durable; None when it was no longer this run's to end."""
        waiting = _Waiting(job, ending, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        return await waiting.done

    async def run(self) -> None:
        while self._waiting or await self.pause(3600.0, self._wake):
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if batch:
                self._waiting += await self._commit(batch)

    async def _commit(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Those that are not done: they lost their race, or cannot be stored as they are."""
        await self._measure(batch)
        decided = [(each, change) for each in batch if not each.done.done() and (change := self._decide(each))]
        if not decided:
            return []
        results = await self._write(decided)
        left: list[_Waiting] = []
        losers: list[_Waiting] = []
        for (each, _), after in zip(decided, results, strict=True):
            if isinstance(after, Job):
                left += _settle_or_go_on(each, after)
            elif after is None:
                losers.append(each)
            else:
                left += _refuse(each, after)
        return [*left, *(await self._reload(losers) if losers else [])]

    async def _write(self, decided: Sequence[tuple[_Waiting, Change]]) -> Sequence[Job | Exception | None]:
        """All together; when the store refuses the whole, each by itself, so that one bad result holds up no other."""
        pairs = [(each.job, change) for each, change in decided]
        try:
            return await until_answered("commit_ends", lambda: commit_all(self._services, pairs))
        except Exception as error:  # noqa: BLE001  whatever the store says to one result
            if len(decided) > 1:
                return [(await self._write([one]))[0] for one in decided]
            return [error]

    async def _measure(self, batch: Sequence[_Waiting]) -> None:
        """Runs that had too little memory get more, but no more than a node has that could hold them, or one that the
        fleet may grow by."""
        short = [each for each in batch if each.ending.report.ending is RunEnding.OUT_OF_MEMORY]
        if short:
            nodes = await until_answered("nodes", self._services.nodes.all)
            capacity = self._services.settings.capacity
            to_come = {} if capacity.provider == "none" else capacity.types
            for each in short:
                each.ending = replace(each.ending, largest_mib=most_memory(each.job, nodes, to_come))

    def _decide(self, each: _Waiting) -> Change | None:
        change = decide(each.job, each.ending, chance(), self._services.stamp())
        if change is None:
            self._services.refusals.note("end")
            log.warning("run.superseded", job_id=each.job.id, run_no=each.ending.key.run_no, status=each.job.status)
            _settle(each, None)
        return change

    async def _reload(self, losers: Sequence[_Waiting]) -> list[_Waiting]:
        """With the jobs as they are now. One that lost although nobody else has won was refused among others."""
        ids = [each.job.id for each in losers]
        jobs = await until_answered("reload_jobs", lambda: self._services.jobs.get_many(ids))
        left = []
        for each in losers:
            job = jobs.get(each.job.id)
            if job is None:
                _settle(each, None)
            elif job.seq == each.job.seq:
                left += _refuse(each, RuntimeError("it was refused among others"))
            else:
                each.job = job
                left.append(each)
        return left


def _refuse(each: _Waiting, why: Exception) -> list[_Waiting]:
    """Once more without the result; what cannot be stored even so is left to the beat, which settles the job."""
    log.error("run.end_refused", job_id=each.job.id, run_no=each.job.run_no, exc_info=why)
    if each.ending.report.message.startswith(REFUSED):
        _settle(each, None)
        return []
    each.ending = without_result(each.ending, why)
    return [each]


def without_result(ending: Ending, error: Exception) -> Ending:
    """The same run as a permanent failure, with nothing of it that the store could refuse."""
    message = f"{REFUSED}{type(error).__name__}: {error}"[:1_000]
    report = RunReport(
        RunEnding.PERMANENT,
        message,
        peak_memory_mib=ending.report.peak_memory_mib,
        cpu_seconds=ending.report.cpu_seconds,
    )
    return Ending(ending.key, report, checkpoint=ending.checkpoint)


def _settle_or_go_on(each: _Waiting, after: Job) -> list[_Waiting]:
    """A change may only have led to the state in which the run can end: a frozen one that was woken."""
    if is_live(after, each.ending.key):
        each.job = after
        return [each]
    _settle(each, after)
    return []


def most_memory(job: Job, nodes: Iterable[Node], types: NodeTypes) -> int | None:
    """MiB of the largest node, there or of these types, on which the job could run, its need for memory left aside;
    None where there is none."""
    rest = replace(job.resources, memory_mib=0)
    possible = (kind for kind in types.values() if kind.most > 0)
    rooms: list[tuple[Mapping[str, str], Vector]] = [(node.labels, node.capacity) for node in nodes]
    rooms += [(kind.all_labels, kind.capacity) for kind in possible]
    able = (capacity for labels, capacity in rooms if matches(labels, job.node_selector) and rest.fits(capacity))
    return max((capacity.memory_mib for capacity in able), default=None)


def _settle(each: _Waiting, after: Job | None) -> None:
    if not each.done.done():
        each.done.set_result(after)
