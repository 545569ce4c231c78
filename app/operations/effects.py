"""What follows from a won change. Each effect is a hint or idempotent, so a crash before it is repaired by the
reconciler; a run summary alone is then missing, which only statistics see.

Therefore none of them may fail the change that is already durable: whatever goes wrong is logged, and that is all.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import structlog

from app.domain.errors import Unavailable
from app.domain.failures import pattern_of
from app.domain.job import Job
from app.domain.limits import holds_places, limits_of, places_of
from app.domain.ports import ROOM_BELL, SWEEP_BELL
from app.domain.queueing import ticket_of
from app.domain.records import RunSummary
from app.domain.sizing.features import Features, as_measured
from app.domain.states import ON_NODE, WAITING, JobStatus
from app.operations.hints import hinted
from app.operations.indexing import index_waiting
from app.services import Services

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Moved:
    """A job before and after a change that was won."""

    before: Job
    after: Job

    @property
    def entered_queue(self) -> bool:
        return self.after.status is JobStatus.QUEUED and self.before.status is not JobStatus.QUEUED

    @property
    def moved_in_queue(self) -> bool:
        """It waits on, under another ticket."""
        both = self.after.status is JobStatus.QUEUED and self.before.status is JobStatus.QUEUED
        return both and ticket_of(self.before) != ticket_of(self.after)

    @property
    def lends_otherwise(self) -> bool:
        """Whether its parents may have another effective class now."""
        changed = self.before.effective_priority is not self.after.effective_priority
        others = self.before.dependencies != self.after.dependencies
        return bool(self.after.dependencies) and (changed or others or self.before.terminal is not self.after.terminal)

    @property
    def waits_again(self) -> bool:
        """A run of it ended, or never began: what others lent it meanwhile counts from now on."""
        return self.before.status in ON_NODE and self.after.status in WAITING | {JobStatus.PAUSED}

    @property
    def came_back(self) -> bool:
        """It had ended, and was retried."""
        return self.before.terminal and not self.after.terminal

    @property
    def gave_places_back(self) -> bool:
        """It needs no place in its limits any more; one that has ended may have taken one for nothing."""
        freed = not holds_places(self.after) and (holds_places(self.before) or self.ended)
        return bool(limits_of(self.after)) and freed

    @property
    def ended(self) -> bool:
        return self.after.terminal and not self.before.terminal

    @property
    def left_queue(self) -> bool:
        return self.before.status is JobStatus.QUEUED and self.after.status is not JobStatus.QUEUED

    @property
    def left_node(self) -> bool:
        return self.before.on_node and not self.after.on_node

    @property
    def ended_run(self) -> bool:
        return len(self.after.attempts) > len(self.before.attempts)


async def carry_out(services: Services, moved: Sequence[Moved]) -> None:
    """Index, ledgers, run summaries, and the bells of the scheduler and of sweeps, for all of them together."""
    freed = [m for m in moved if m.left_node and m.before.node_id is not None]
    ended = [m for m in moved if m.ended_run]
    entered = [ticket_of(m.after) for m in moved if m.entered_queue or m.moved_in_queue]
    left = [m.after.id for m in moved if m.left_queue]
    work: list[Awaitable[object]] = []
    if freed:
        work.append(_attempt("release", _release(services, freed)))
    if places := [place for m in moved if m.gave_places_back for place in places_of(m.after)]:
        work.append(_attempt("release_places", services.limits.release(places)))
    if ended:
        work += [_attempt("run_summary", services.runs.insert(_summary(m))) for m in ended]
    if entered:
        work.append(hinted("enqueue", index_waiting(services, entered)))
    if left:
        work.append(hinted("dequeue", services.queue.dequeue(left)))
    work += _overtaken(services, moved)
    await asyncio.gather(*work)
    if freed:
        await services.bells.ring(ROOM_BELL)
    if any(m.ended and m.after.batch_id is not None for m in moved):
        await services.bells.ring(SWEEP_BELL)


def _overtaken(services: Services, moved: Sequence[Moved]) -> list[Awaitable[object]]:
    """Start estimates that these changes have made worthless."""
    said = services.announcements
    work: list[Awaitable[object]] = []
    for reason, why in (("reordered", "reordered"), ("priority_changed", "reprioritised")):
        if ids := [m.after.id for m in moved if m.moved_in_queue and m.after.history[-1].reason == reason]:
            work.append(hinted("disturb", said.disturb(ids, why)))
    unstarted = (m for m in moved if m.left_queue and m.after.status is not JobStatus.SCHEDULED)
    if gone := [m.after.id for m in unstarted]:
        work.append(hinted("leave", said.leave(gone, "cancelled")))
    return work


async def _attempt(name: str, effect: Awaitable[object]) -> None:
    try:
        await effect
    except Unavailable as error:
        log.warning("effect.postponed", effect=name, store=error.store)
    except Exception:
        log.exception("effect.failed", effect=name)


async def _release(services: Services, freed: Sequence[Moved]) -> None:
    by_node: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for m in freed:
        by_node[m.before.node_id or ""].append((m.before.id, m.before.run_no))
    await asyncio.gather(*(services.nodes.release(node, runs) for node, runs in by_node.items()))


def _summary(moved: Moved) -> RunSummary:
    """The run that just ended, as analytics will read it."""
    job, attempt = moved.after, moved.after.attempts[-1]
    started = attempt.started_at or attempt.finished_at
    error = job.error
    queued = moved.before.queued_at or job.submitted_at
    return RunSummary(
        job_id=job.id,
        run_no=attempt.run_no,
        attempt=attempt.attempt,
        tenant=job.tenant,
        template=job.template,
        template_version=job.template_version,
        algorithm=job.algorithm,
        dataset=job.dataset,
        priority=job.priority,
        node_id=attempt.node_id,
        asked=moved.before.resources,
        peak_memory_mib=attempt.peak_memory_mib,
        cpu_seconds=attempt.cpu_seconds,
        wait_seconds=max(0.0, (started - queued).total_seconds()),
        run_seconds=(attempt.finished_at - started).total_seconds(),
        outcome=attempt.outcome,
        fingerprint=error.fingerprint if error else None,
        finished_at=attempt.finished_at,
        ended_as=job.status if job.terminal else None,
        age_seconds=max(0.0, (attempt.finished_at - job.submitted_at).total_seconds()),
        failure=pattern_of(error) if error else None,
        steps=_step_seconds(job, attempt.run_no),
        features=_features(job),
        sized=None if job.sizing is None else job.sizing.source,
    )


def _step_seconds(job: Job, run_no: int) -> tuple[tuple[str, float], ...]:
    """The steps of a run that ended, with their seconds."""
    if job.progress is None or job.progress.run_no != run_no:
        return ()
    steps = [(s.step, s.started_at, s.finished_at) for s in job.progress.steps]
    return tuple((name, max(0.0, (end - begin).total_seconds())) for name, begin, end in steps if begin and end)


def _features(job: Job) -> Features | None:
    """Of what it trained, with the size of the data as the run has seen it."""
    planned = None if job.sizing is None else job.sizing.features
    return None if planned is None else as_measured(planned, job.result)
