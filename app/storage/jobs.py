"""Jobs in MongoDB. The document is the truth: whoever holds the newest `seq` decides, others lose and look again.

Changes and inserts go through group commit, and reads of single jobs are gathered likewise. What was read is remembered
by its subject, so that a change of it needs no look-up. Progress is written past `seq`, only by the run that is alive.
A document that cannot be read is logged and left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.domain.errors import Invalid, Unavailable
from app.domain.job import Job, Progress
from app.domain.priority import Priority
from app.domain.queueing import Bucket, Ticket
from app.domain.records import JobPage, JobQuery, StateCount, StoredAnswer
from app.domain.states import JobStatus
from app.domain.transitions import Change
from app.storage import job_queries
from app.storage.answers import answer_document, insert_once
from app.storage.documents import Document, job_document, job_from, progress_document, vector_from
from app.storage.failures import PATIENCE, UNSTORABLE, answered, not_storable, until_answered
from app.storage.gatherer import Gatherer
from app.storage.group_commit import GroupCommit, GroupedInserts
from app.storage.mongo import Database
from app.storage.subjects import Subjects

log = structlog.get_logger()

READ = 1_000
"""Most jobs in one gathered read."""


class MongoJobStore:
    """`JobStore` over the collection `jobs`. `patience`: seconds in which an unanswered write is sent again."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database, self._patience = database, patience
        self._jobs, self._answers = database["jobs"], database["answers"]
        self._subjects = Subjects(self._jobs)
        self._inserts = GroupedInserts(self._jobs, patience)
        self._changes = GroupCommit(self._jobs, self._subjects.of, patience)
        self._reads = Gatherer[str, Document | None](self._read, READ)

    async def insert(self, job: Job) -> None:
        document = job_document(job)
        await self._inserts.insert([document])
        self._subjects.remember(document)

    async def insert_with_answer(self, job: Job, answer: StoredAnswer) -> StoredAnswer | None:
        document, kept = job_document(job), answer_document(answer)

        async def both(session: Any) -> None:
            await self._answers.insert_one(kept, session=session)
            await self._jobs.insert_one(document, session=session)

        try:
            async with asyncio.timeout(self._patience):
                earlier = await insert_once(
                    lambda: self._database.transaction(both), self._answers, answer, self._patience
                )
        except TimeoutError as error:
            raise Unavailable("MongoDB") from error
        except UNSTORABLE as error:
            raise not_storable(error) from error
        if earlier is None:
            self._subjects.remember(document)
        return earlier

    async def get(self, job_id: str) -> Job | None:
        [document] = await self._reads.add([job_id])
        return None if document is None else self._loaded(document)

    async def _read(self, job_ids: list[str]) -> list[Document | None]:
        with answered():
            documents = await self._jobs.find({"_id": {"$in": list(set(job_ids))}}).to_list(None)
        found = {document["_id"]: document for document in documents}
        return [found.get(job_id) for job_id in job_ids]

    async def get_many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        return {job.id: job for job in await self._find({"_id": {"$in": list(job_ids)}})}

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """See the port. One change that cannot be stored raises Invalid; among several it is logged, and lost."""
        verdicts = await self._changes.commit(changes)
        if len(verdicts) == 1 and isinstance(verdicts[0], Invalid):
            raise verdicts[0]
        for change, verdict in zip(changes, verdicts, strict=True):
            if isinstance(verdict, Invalid):
                log.error("change.not_storable", job_id=change.job_id, seq=change.seq, why=verdict.message)
        return [verdict is True for verdict in verdicts]

    async def save_progress(self, job_id: str, progress: Progress) -> bool:
        alive = {"_id": job_id, "status": JobStatus.RUNNING.value, "run_no": progress.run_no}
        update = {"$set": {"progress": progress_document(progress)}}
        result = await until_answered(lambda: self._jobs.update_one(alive, update), self._patience)
        return bool(result.matched_count)

    async def find(self, query: JobQuery) -> JobPage:
        wanted = job_queries.matching(query)
        if query.after is not None:
            wanted = {"$and": [wanted, await self._beyond(query, query.after)]}
        documents = await self._documents(wanted, job_queries.order(query), query.limit + 1)
        page, more = documents[: query.limit], len(documents) > query.limit
        return JobPage(tuple(self._readable(page)), page[-1]["_id"] if more else None)

    async def _beyond(self, query: JobQuery, job_id: str) -> Document:
        with answered():
            found = await self._jobs.find_one({"_id": job_id}, {"submitted_at": 1})
        if found is None:
            raise job_queries.place_is_gone()
        return job_queries.beyond(query, found["submitted_at"], job_id)

    async def count(self, query: JobQuery) -> int:
        with answered():
            return await self._jobs.count_documents(job_queries.matching(query))

    async def waiting_on(self, parent_ids: Iterable[str]) -> list[Job]:
        return await self._find({"status": "SUBMITTED", "dependencies": {"$in": list(parent_ids)}})

    async def due(self, now: datetime, limit: int) -> list[Job]:
        asked = [self._find(wanted, order, limit) for wanted, order in job_queries.due(now)]
        jobs = {job.id: job for found in await asyncio.gather(*asked) for job in found}
        return list(jobs.values())[:limit]

    async def scheduled_before(self, moment: datetime, limit: int) -> list[Job]:
        wanted = {"status": "SCHEDULED", "scheduled_at": {"$lt": moment}}
        return await self._find(wanted, [("scheduled_at", 1)], limit)

    async def on_node(self, node_id: str, status: Iterable[JobStatus]) -> list[Job]:
        return await self._find({"node_id": node_id, "status": {"$in": job_queries.values(status)}})

    async def in_state(self, status: Iterable[JobStatus]) -> dict[str, tuple[str | None, int]]:
        wanted = {"status": {"$in": job_queries.values(status)}}
        with answered():
            found = await self._jobs.find(wanted, {"node_id": 1, "run_no": 1}).to_list(None)
        return {d["_id"]: (d["node_id"], d["run_no"]) for d in found}

    async def queued_tickets(self, batch: int = 1_000) -> AsyncIterator[list[Ticket]]:
        tickets: list[Ticket] = []
        with answered():
            async for document in self._jobs.find({"status": "QUEUED"}, job_queries.TICKET):
                tickets += _tickets(document)
                if len(tickets) >= batch:
                    yield tickets
                    tickets = []
        if tickets:
            yield tickets

    async def state_counts(self) -> list[StateCount]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.STATE_COUNTS)]
        return [
            StateCount(
                JobStatus(row["_id"]["status"]),
                Priority(row["_id"]["class"]),
                row["jobs"],
                row["oldest"],
                max(0.0, row["wait"] / 1000),
            )
            for row in rows
        ]

    async def mean_waits(self, since: datetime) -> dict[Priority, float]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.mean_waits(since))]
        return {Priority(row["_id"]): row["wait"] / 1000 for row in rows}

    async def _find(self, wanted: Document, order: Sequence[tuple[str, int]] = (), limit: int = 0) -> list[Job]:
        return self._readable(await self._documents(wanted, order, limit))

    async def _documents(self, wanted: Document, order: Sequence[tuple[str, int]], limit: int) -> list[Document]:
        cursor = self._jobs.find(wanted)
        if order:
            cursor = cursor.sort(order)
        with answered():
            return await cursor.limit(limit).to_list(None)

    def _readable(self, documents: Sequence[Document]) -> list[Job]:
        return [job for job in map(self._loaded, documents) if job is not None]

    def _loaded(self, document: Document) -> Job | None:
        """The job, or None for a document that is none: it must not stop whoever reads it among others."""
        try:
            self._subjects.remember(document)
            return job_from(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.error("job.unreadable", job_id=document["_id"], error=repr(error))
            return None


def _tickets(document: Document) -> list[Ticket]:
    """As `ticket_of`, from the few fields that it needs; nothing for a document that cannot be read."""
    try:
        selector = tuple(sorted(document["node_selector"].items()))
        priority, vector = Priority(document["effective_priority"]), vector_from(document["resources"])
        bucket = Bucket(priority, document["tenant"], vector, selector)
        return [Ticket(document["_id"], document["order_key"], document["order_key"], bucket)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        log.error("job.unreadable", job_id=document["_id"], error=repr(error))
        return []
