"""Jobs in memory: the same promises as the MongoDB store, for tests and for looking at the use-cases alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import Clock
from app.domain.job import Job, Progress
from app.domain.limits import holds_places, in_turn, limits_of
from app.domain.ports import EndedJob
from app.domain.priority import Priority, most_urgent
from app.domain.queueing import Ticket, ticket_of
from app.domain.records import JobPage, JobQuery, StateCount, StoredAnswer
from app.domain.states import TERMINAL, WAITING, JobStatus
from app.domain.transitions import Change, apply
from app.storage.job_queries import DEADLINES, DEPENDENT, place_is_gone
from app.storage.search import fact, search_words, terms_of

A_DAY = timedelta(days=1)


class MemoryJobStore:
    """`JobStore` over a dictionary. Values are frozen, so what was handed out never changes."""

    def __init__(self, clock: Clock, answers_kept: timedelta = A_DAY) -> None:
        self._clock, self._answers_kept = clock, answers_kept
        self._jobs: dict[str, Job] = {}
        self._keyed: dict[str, tuple[str, StoredAnswer]] = {}

    async def insert(self, job: Job) -> None:
        self._jobs.setdefault(job.id, job)

    async def insert_with_answer(self, job: Job, answer: StoredAnswer) -> StoredAnswer | None:
        if job.id in self._jobs:
            return None
        earlier = await self.answer_under(answer.key)
        if earlier is None:
            self._jobs[job.id], self._keyed[answer.key] = job, (job.id, answer)
        return earlier

    async def answer_under(self, key: str) -> StoredAnswer | None:
        job_id, answer = self._keyed.get(key, ("", None))
        lives = answer is not None and answer.at >= self._clock.now() - self._answers_kept
        return answer if lives and job_id in self._jobs else None

    async def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    async def get_many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        return {job_id: self._jobs[job_id] for job_id in job_ids if job_id in self._jobs}

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        return [self._commit(change) for change in changes]

    def _commit(self, change: Change) -> bool:
        job = self._jobs.get(change.job_id)
        if job is None:
            return False
        if job.seq != change.seq:
            return any(entry.op == change.entry.op for entry in job.history)
        self._jobs[job.id] = apply(job, change)
        return True

    async def save_progress(self, job_id: str, progress: Progress) -> bool:
        job = self._jobs.get(job_id)
        if job is None or job.status is not JobStatus.RUNNING or job.run_no != progress.run_no:
            return False
        self._jobs[job_id] = replace(job, progress=progress)
        return True

    async def find(self, query: JobQuery) -> JobPage:
        found = [job for job in self._by_age(newest_first=not query.oldest_first) if _matches(job, query)]
        if query.after is not None:
            found = self._beyond(found, query)
        page = tuple(found[: query.limit])
        return JobPage(page, page[-1].id if len(found) > query.limit else None)

    def _beyond(self, found: list[Job], query: JobQuery) -> list[Job]:
        last = self._jobs.get(query.after or "")
        if last is None:
            raise place_is_gone()
        place = _age(last)
        return [job for job in found if (_age(job) > place if query.oldest_first else _age(job) < place)]

    async def count(self, query: JobQuery) -> int:
        return sum(_matches(job, query) for job in self._jobs.values())

    async def waiting_on(self, parent_ids: Iterable[str]) -> list[Job]:
        parents = set(parent_ids)
        return [job for job in self._in(*DEPENDENT) if parents.intersection(job.dependencies)]

    async def classes_waiting_on(self, parent_ids: Iterable[str]) -> dict[str, Priority]:
        wanted = set(parent_ids)
        lent: dict[str, Priority] = {}
        for child in await self.waiting_on(wanted):
            for parent in wanted.intersection(child.dependencies):
                lent[parent] = most_urgent((child.effective_priority, lent.get(parent, Priority.LOW)))
        return lent

    async def due(self, now: datetime, limit: int) -> list[Job]:
        retries = [(j.retry_at, j) for j in self._in(JobStatus.RETRYING) if j.retry_at and j.retry_at <= now]
        waiting = [j for j in self._in(*DEADLINES) if not (j.frozen or j.released)]
        ends = [(j.deadline, j) for j in waiting if j.deadline and j.deadline <= now]
        starts = [(j.start_after, j) for j in self._in(JobStatus.SUBMITTED) if j.start_after and j.start_after <= now]
        groups = (_by_time(retries), _by_time(ends), _by_time(starts)[::-1])
        return list({job.id: job for group in groups for job in group[:limit]}.values())[:limit]

    async def on_node(self, node_id: str, status: Iterable[JobStatus]) -> list[Job]:
        return [job for job in self._in(*status) if job.node_id == node_id]

    async def in_state(self, status: Iterable[JobStatus]) -> dict[str, tuple[str | None, int]]:
        return {job.id: (job.node_id, job.run_no) for job in self._in(*status)}

    async def queued_tickets(self, batch: int = 1_000) -> AsyncIterator[list[Ticket]]:
        tickets = [ticket_of(job) for job in self._in(JobStatus.QUEUED)]
        for start in range(0, len(tickets), batch):
            yield tickets[start : start + batch]

    async def rekey(self, keys: Sequence[tuple[str, float, float]]) -> list[Ticket]:
        moved = []
        for job_id, present, new in keys:
            job = self._jobs.get(job_id)
            if job is not None and job.status is JobStatus.QUEUED and job.order_key == present:
                self._jobs[job_id] = replace(job, order_key=new)
                moved.append(ticket_of(self._jobs[job_id]))
        return moved

    async def ended_before(self, moment: datetime, limit: int, after: EndedJob | None = None) -> list[EndedJob]:
        ended = [
            EndedJob(j.finished_at, j.id, j.batch_id, j.workflow_id)
            for j in self._in(*TERMINAL)
            if j.finished_at and j.finished_at < moment
        ]
        return [job for job in sorted(ended) if after is None or job > after][:limit]

    async def depended_on(self, job_ids: Iterable[str]) -> set[str]:
        named = {parent for job in self._jobs.values() if not job.terminal for parent in job.dependencies}
        return named.intersection(job_ids)

    async def absent(self, job_ids: Iterable[str]) -> set[str]:
        return set(job_ids) - self._jobs.keys()

    async def delete_ended(self, job_ids: Iterable[str], before: datetime) -> int:
        wanted = set(job_ids)
        gone = [job.id for job in await self.ended_before(before, len(self._jobs)) if job.id in wanted]
        for job_id in gone:
            del self._jobs[job_id]
        return len(gone)

    async def waiting_of(self, tenant: str, most: int) -> int:
        return min(most, sum(job.tenant == tenant for job in self._in(*WAITING)))

    async def waiting_for(self, limits: Iterable[str], most: int) -> list[Job]:
        wanted = set(limits)
        found = in_turn(job for job in self._in(JobStatus.SUBMITTED) if wanted.intersection(job.limits))
        return [job for p in Priority for job in [j for j in found if j.effective_priority is p][:most]]

    async def waiting_counts(self, limits: Iterable[str]) -> dict[str, int]:
        waiting = self._in(JobStatus.SUBMITTED)
        return {name: sum(name in job.limits for job in waiting) for name in limits}

    async def place_holders(self) -> dict[str, tuple[str, ...]]:
        return {job.id: limits_of(job) for job in self._jobs.values() if holds_places(job)}

    async def state_counts(self) -> list[StateCount]:
        groups: dict[tuple[JobStatus, Priority], list[Job]] = defaultdict(list)
        for job in self._jobs.values():
            if not job.terminal:
                groups[job.status, job.effective_priority].append(job)
        return [self._count(*key, jobs) for key, jobs in sorted(groups.items())]

    def _count(self, status: JobStatus, priority: Priority, jobs: list[Job]) -> StateCount:
        now = self._clock.now()
        waits = [(now - (job.queued_at or job.submitted_at)).total_seconds() for job in jobs]
        oldest = min(job.submitted_at for job in jobs)
        return StateCount(status, priority, len(jobs), oldest, max(0.0, sum(waits) / len(waits)))

    async def mean_waits(self, since: datetime) -> dict[Priority, float]:
        waits: dict[Priority, list[float]] = defaultdict(list)
        for job in self._jobs.values():
            if job.started_at and job.queued_at and job.started_at >= max(since, job.queued_at):
                waits[job.effective_priority].append((job.started_at - job.queued_at).total_seconds())
        return {priority: sum(found) / len(found) for priority, found in waits.items()}

    async def queued_since(self) -> dict[Priority, datetime]:
        found: dict[Priority, datetime] = {}
        for job in self._in(JobStatus.QUEUED):
            if job.queued_at is not None:
                priority = job.effective_priority
                found[priority] = min(job.queued_at, found.get(priority, job.queued_at))
        return found

    async def not_eligible(self, now: datetime) -> dict[str, int]:
        return dict(Counter(_keeps(job, now) for job in self._in(JobStatus.SUBMITTED)))

    def _in(self, *status: JobStatus) -> list[Job]:
        return [job for job in self._jobs.values() if job.status in status]

    def _by_age(self, *, newest_first: bool = False) -> list[Job]:
        return sorted(self._jobs.values(), key=_age, reverse=newest_first)


def _keeps(job: Job, now: datetime) -> str:
    """What keeps a SUBMITTED job from the queue."""
    if job.dependencies:
        return "dependencies"
    return "start_time" if job.start_after is not None and job.start_after > now else "concurrency_limit"


def _age(job: Job) -> tuple[datetime, str]:
    return job.submitted_at, job.id


def _by_time(pairs: list[tuple[datetime, Job]]) -> list[Job]:
    return [job for _, job in sorted(pairs, key=lambda pair: pair[0])]


def _matches(job: Job, query: JobQuery) -> bool:
    asked = (
        (query.template, job.template),
        (query.algorithm, job.algorithm),
        (query.priority, job.priority),
        (query.batch_id, job.batch_id),
        (query.workflow_id, job.workflow_id),
    )
    found = terms_of(job) if query.text or query.facts else {"search": [], "facts": []}
    return (
        all(want is None or want == have for want, have in asked)
        and (not query.status or job.status in query.status)
        and (query.tag is None or query.tag in job.tags)
        and all(any(t.startswith(w) for t in found["search"]) for w in search_words(query.text or ""))
        and all(fact(path, value) in found["facts"] for path, value in query.facts)
        and (query.submitted_after is None or job.submitted_at >= query.submitted_after)
        and (query.submitted_before is None or job.submitted_at < query.submitted_before)
    )
