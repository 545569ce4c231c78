"""A search under way: its book brought up to date with its jobs, early stops carried out, and new trials entered.

The record of a trial is written first, its job follows from it; so a crash between the two is mended by whoever looks
next, and nothing is asked twice. All of it may be done by two at once: the first to record a number wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from app.domain.batches import ENDING, Batch, BatchStatus, member_id
from app.domain.control_transitions import request_control
from app.domain.job import Job
from app.domain.naming import suffixed
from app.domain.new_job import build_job
from app.domain.records import JobQuery
from app.domain.specification import JobRequest, Specification
from app.domain.states import OPEN, JobStatus
from app.domain.sweeps.asked import MOST_PARALLEL
from app.domain.sweeps.book import Book
from app.domain.sweeps.definition import Definition, definition_from
from app.domain.sweeps.ending import trial_end
from app.domain.sweeps.judging import Told, judge
from app.domain.sweeps.trials import SUCCESSES, Outcome, Trial, TrialEnd
from app.domain.transitions import Change, Stamp
from app.operations.advance import decide_waiting
from app.operations.change import commit_all
from app.operations.control import control_job
from app.operations.hints import hinted
from app.operations.inheritance import decide_lending
from app.operations.plan import plan
from app.operations.sealing import seal
from app.operations.sweeps.asking import next_values
from app.services import Services

log = structlog.get_logger()
JUST_ENTERED = timedelta(seconds=5)
"""After that the reconciler has looked at a trial."""
LIVE = frozenset({JobStatus.RUNNING, JobStatus.PAUSED})


@dataclass(eq=False, slots=True)
class Search:
    """A sweep and its book, as far as it is known here. `jobs`: those of trials that are open, by id."""

    batch: Batch
    definition: Definition
    book: Book
    jobs: Mapping[str, Job]

    @classmethod
    def of(cls, batch: Batch) -> Search:
        """With an empty book. Raises KeyError, TypeError or ValueError where what is kept of it cannot be read."""
        definition = definition_from(batch.spec or {})
        return cls(batch, definition, Book(definition.sweep), {})

    @property
    def goes_on(self) -> bool:
        """Whether trials may be entered."""
        return self.batch.status is BatchStatus.RUNNING and not self.batch.wants(*ENDING)

    def missing(self) -> list[Trial]:
        """Trials that were recorded, and whose jobs are not there."""
        return [trial for trial in self.book.open() if trial.job_id not in self.jobs]


async def read(services: Services, search: Search) -> None:
    """Read what was recorded since the last time, and the jobs of trials that are open."""
    book = search.book
    book.note(await services.trials.of(search.batch.id, book.ended_below))
    search.jobs = await services.jobs.get_many(trial.job_id for trial in book.open())


async def catch_up(services: Services, search: Search) -> None:
    """Read what was recorded, and record what has happened: values at rungs, and ends."""
    await read(services, search)
    if again := await _reopened(services, search):
        await _record(services, search, again)
        await read(services, search)
    told = await _told(services, search)
    await _record(services, search, _judged(search, told))
    await _record(services, search, _ended(services, search, told))


def _ended(services: Services, search: Search, told: Told) -> list[Trial]:
    """Trials whose jobs have ended; and those whose jobs were never there, of a sweep that goes on no more."""
    ends: list[Trial] = []
    over = search.batch.ended or search.batch.wants(*ENDING)
    for trial in search.book.open():
        job = search.jobs.get(trial.job_id)
        end: TrialEnd | None = None
        if job is not None and job.terminal:
            end = trial_end(search.definition.sweep, trial, job, told.get(trial.number, ()))
        elif job is None and over:
            end = TrialEnd(Outcome.CANCELLED, services.clock.now())
        if end is not None:
            ends.append(replace(trial, end=end, seq=trial.seq + 1))
    return ends


async def _reopened(services: Services, search: Search) -> list[Trial]:
    """Trials that had ended badly and have no end any more: a user has retried their jobs, or the whole sweep, in which
    they had been cancelled before their jobs were there."""
    ended_badly = {t.job_id: t for t in search.book.trials if t.end is not None and t.end.outcome not in SUCCESSES}
    if not ended_badly:
        return []
    page = await services.jobs.find(JobQuery(batch_id=search.batch.id, status=OPEN, limit=MOST_PARALLEL))
    again = [ended_badly[job.id] for job in page.jobs if job.id in ended_badly]
    if search.goes_on:
        cancelled = {i: t for i, t in ended_badly.items() if t.end is not None and t.end.outcome is Outcome.CANCELLED}
        there = await services.jobs.get_many(cancelled) if cancelled else {}
        again += [trial for job_id, trial in cancelled.items() if job_id not in there]
    return [replace(trial, end=None, seq=trial.seq + 1) for trial in again]


async def _told(services: Services, search: Search) -> Told:
    """What trials that run, or have just ended, told of the objective, by number."""
    objective = search.definition.sweep.objective
    early = search.definition.sweep.early_stopping is not None
    jobs = {t.number: search.jobs[t.job_id] for t in search.book.open() if t.job_id in search.jobs}
    wanted = {n: job for n, job in jobs.items() if job.terminal or (early and job.status in LIVE)}
    series = await asyncio.gather(*(services.metrics.read(job.id, [objective]) for job in wanted.values()))
    return {n: points.get(objective, []) for n, points in zip(wanted, series, strict=True)}


def _judged(search: Search, told: Told) -> list[Trial]:
    sweep = search.definition.sweep
    if sweep.early_stopping is None:
        return []
    judged = judge(sweep.early_stopping, search.book.trials, told, maximize=sweep.maximize)
    return [replace(trial, seq=trial.seq + 1) for trial in judged]


async def _record(services: Services, search: Search, trials: Sequence[Trial]) -> None:
    """Write these down. Where another has written first, what that one wrote stands, and is read."""
    won = await services.trials.replace(trials) if trials else []
    search.book.note(trial for trial, stands in zip(trials, won, strict=True) if stands)
    if lost := [trial.number for trial, stands in zip(trials, won, strict=True) if not stands]:
        search.book.note(await services.trials.of(search.batch.id, min(lost)))


async def stop_early(services: Services, search: Search) -> None:
    """Have those that were not among the best at a rung end. Asked again until it is so: a user's wish comes first."""
    for trial in search.book.open():
        job = search.jobs.get(trial.job_id)
        if trial.stopped_at is not None and job is not None and _may_be_pruned(job):
            await _prune(services, trial)


def _may_be_pruned(job: Job) -> bool:
    return job.status is JobStatus.RUNNING and job.control is None


async def _prune(services: Services, trial: Trial) -> None:
    why = f"trial {trial.number} was not among the best at step {trial.stopped_at} of its search"

    def decide(job: Job, stamp: Stamp) -> Change | None:
        return request_control(job, "prune", stamp, why) if _may_be_pruned(job) else None

    job = await control_job(services, trial.job_id, decide, "system")
    log.info(
        "sweep.trial_stopped_early", sweep=trial.sweep_id, trial=trial.number, step=trial.stopped_at, to=job.status
    )


async def enter(services: Services, search: Search, count: int) -> None:
    """The jobs of trials whose jobs are missing, and of so many new ones; fewer where nothing else is left to try.

    Raises Invalid for one that cannot be submitted any more, after those before it were.
    """
    fresh = [await _job_for(services, search, trial) for trial in search.missing()]
    for _ in range(count):
        if search.book.learns:
            await _let_in(services, fresh)
        if (trial := await _asked(services, search)) is None:
            break
        fresh.append(await _job_for(services, search, trial))
    await _let_in(services, fresh)


async def _asked(services: Services, search: Search) -> Trial | None:
    """The next trial, recorded: as it was asked here, or by another who was first."""
    book, batch = search.book, search.batch
    values = await next_values(services.sampler, book)
    if values is None:
        return None
    number = book.next_number
    trial = Trial(batch.id, number, member_id(batch.id, number), values, services.clock.now(), book.untold)
    [standing] = await services.trials.insert([trial])
    book.note([standing])
    return standing


async def _job_for(services: Services, search: Search, trial: Trial) -> Job:
    """The job of a trial, stored after its secrets; when it is there already, that is all. Raises Invalid."""
    request = await _request_for(services, search, trial)
    specification = await plan(services, request, search.definition.template_version)
    job = await job_of(services, search, trial, specification)
    await seal(services, job, specification)
    await services.jobs.insert(job)
    return job


async def _request_for(services: Services, search: Search, trial: Trial) -> JobRequest:
    """The request of a trial, with the secrets of the sweep."""
    request = search.definition.request_for(trial.values)
    if not search.definition.secrets:
        return request
    secrets = await services.secrets.get(search.batch.id) or {}
    return replace(request, parameters={**request.parameters, **secrets})


async def _let_in(services: Services, fresh: list[Job]) -> None:
    """Into their queues, together; whom this misses the reconciler finds. Those that are asked next take a while, where
    they are learned."""
    if fresh:
        await hinted("let_in", _look_at(services, tuple(fresh)))
        fresh.clear()


async def let_in_again(services: Services, search: Search) -> None:
    """Trials just entered that stand in no queue: who entered them was cut off, or they wait. Older ones are the
    reconciler's."""
    since = services.clock.now() - JUST_ENTERED
    waiting = [job for job in search.jobs.values() if job.status is JobStatus.SUBMITTED and job.submitted_at > since]
    await _let_in(services, waiting)


async def _look_at(services: Services, jobs: Sequence[Job]) -> None:
    await commit_all(services, await decide_waiting(services, jobs))
    await commit_all(services, await decide_lending(services, [job for job in jobs if job.dependencies]))


async def job_of(services: Services, search: Search, trial: Trial, specification: Specification) -> Job:
    """As it is inserted: it waits for its place in the batch, and for whatever else its request names."""
    batch, base = search.batch, specification.base_name
    return build_job(
        specification,
        job_id=trial.job_id,
        name=suffixed(base, await services.names.claim(base)),
        eligible=False,
        stamp=services.stamp(batch.history[0].actor),
        tie=trial.number % 1_000,
        batch_id=batch.id,
        membership=batch.membership(trial.number),
    )
