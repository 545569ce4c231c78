"""Jobs in MongoDB. The document is the truth: whoever holds the newest `seq` decides, others lose and look again.

Changes and inserts go through group commit, and reads of single jobs are gathered likewise. What was read is remembered
by its subject, so that a change of it needs no look-up. Progress is written past `seq`, only by the run that is alive.
A document that cannot be read is left out, and goes into quarantine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pymongo import UpdateOne

from app.domain.errors import Invalid, Unavailable
from app.domain.job import Job, Progress
from app.domain.ports import EndedJob
from app.domain.priority import Priority, most_urgent
from app.domain.queueing import Ticket
from app.domain.records import JobPage, JobQuery, StoredAnswer
from app.domain.states import JobStatus
from app.domain.transitions import Change
from app.quarantine import Quarantine
from app.storage import job_queries, job_search
from app.storage.amounts import Document
from app.storage.documents import job_document, job_from, progress_document
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.gatherer import Gatherer
from app.storage.group_commit import GroupCommit, GroupedInserts
from app.storage.job_counts import JobCounts
from app.storage.job_rows import class_of_parent_from, limits_from, place_from
from app.storage.keyed import BARE, Keyed
from app.storage.mongo import Cursor, Database
from app.storage.quarantine import Reading
from app.storage.shapes import check_job, checked
from app.storage.subjects import Subjects
from app.storage.tickets import FIELDS as TICKET_FIELDS
from app.storage.tickets import ticket_from
from app.storage.whole_batches import WholeBatches

log = structlog.get_logger()

MOST_BAD = 5_000
"""Documents looked past in one question of which some cannot be read."""
A_DAY = timedelta(days=1)
READ = 1_000
"""Most jobs in one gathered read."""


class MongoJobStore(JobCounts):
    """`JobStore` over the collection `jobs`. `patience`: seconds in which an unanswered write is sent again.

    `answers_kept`: how long the answer to a submit belongs to its key.
    """

    def __init__(
        self,
        database: Database,
        patience: float = PATIENCE,
        *,
        quarantine: Quarantine | None = None,
        answers_kept: timedelta = A_DAY,
    ) -> None:
        super().__init__(database, Reading("job", quarantine))
        self._patience = patience
        self._subjects = Subjects(self._jobs)
        self._whole = WholeBatches(database["batches"])
        self._inserts = GroupedInserts(self._jobs, patience)
        self._keyed = Keyed(self._jobs, answers_kept, patience)
        self._changes = GroupCommit(self._jobs, self._subjects.of, patience)
        self._reads = Gatherer[str, Document | None](self._read, READ)

    async def insert(self, job: Job) -> None:
        document = job_document(job)
        await self._inserts.insert([document])
        self._subjects.remember(document)

    async def insert_with_answer(self, job: Job, answer: StoredAnswer) -> StoredAnswer | None:
        document = job_document(job)
        try:
            async with asyncio.timeout(self._patience):
                earlier = await self._keyed.insert(document, answer, self._insert_one)
        except TimeoutError as error:
            raise Unavailable("MongoDB") from error
        if earlier is None:
            self._subjects.remember(document)
        return earlier

    async def _insert_one(self, document: Document) -> bool:
        return all(await self._inserts.insert([document]))

    async def answer_under(self, key: str) -> StoredAnswer | None:
        return await self._keyed.answer(key)

    async def get(self, job_id: str) -> Job | None:
        [document] = await self._reads.add([job_id])
        return next(iter(await self._readable([document] if document else [])), None)

    async def _read(self, job_ids: list[str]) -> list[Document | None]:
        with answered():
            documents = await self._jobs.find({"_id": {"$in": list(set(job_ids))}}, BARE).to_list(None)
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
        wanted = {"$and": [job_queries.matching(query), job_queries.IN_TIME]}
        if query.after is not None:
            wanted = {"$and": [wanted, await self._beyond(query, query.after)]}
        documents = await self._listed(wanted, query)
        page, more = documents[: query.limit], len(documents) > query.limit
        return JobPage(tuple(await self._readable(page)), page[-1]["_id"] if more else None)

    async def _listed(self, wanted: Document, query: JobQuery) -> list[Document]:
        """A page, and one more where more follow."""
        order, most = job_queries.order(query), query.limit + 1

        async def find(**how: Any) -> list[Document]:
            return await self._jobs.find(wanted, BARE, **how).sort(order).limit(most).to_list(None)

        with answered():
            return await job_search.listed(self._database, query, find)

    async def _beyond(self, query: JobQuery, job_id: str) -> Document:
        with answered():
            found = await self._jobs.find_one({"_id": job_id}, {"submitted_at": 1})
        if found is None:
            raise job_queries.place_is_gone()
        return job_queries.beyond(query, found["submitted_at"], job_id)

    async def count(self, query: JobQuery) -> int:
        if query.batch_id is not None and not await self._whole.shown([{"batch_id": query.batch_id}]):
            return 0
        with answered():
            return await job_search.counted(self._jobs, query)

    async def waiting_on(self, parent_ids: Iterable[str]) -> list[Job]:
        return await self._find(
            {"status": {"$in": job_queries.values(job_queries.DEPENDENT)}, "dependencies": {"$in": list(parent_ids)}}
        )

    async def classes_waiting_on(self, parent_ids: Iterable[str]) -> dict[str, Priority]:
        with answered():
            rows = [row async for row in self._database.aggregate("jobs", job_queries.classes_waiting_on(parent_ids))]
        lent: dict[str, Priority] = {}
        for parent, priority in await self._reading.each(rows, class_of_parent_from):
            lent[parent] = most_urgent((priority, lent.get(parent, priority)))
        return lent

    async def due(self, now: datetime, limit: int) -> list[Job]:
        asked = [self._find(wanted, order, limit) for wanted, order in job_queries.due(now)]
        jobs = {job.id: job for found in await asyncio.gather(*asked) for job in found}
        return list(jobs.values())[:limit]

    async def on_node(self, node_id: str, status: Iterable[JobStatus]) -> list[Job]:
        return await self._find({"node_id": node_id, "status": {"$in": job_queries.values(status)}})

    async def in_state(self, status: Iterable[JobStatus]) -> dict[str, tuple[str | None, int]]:
        wanted = {"status": {"$in": job_queries.values(status)}}
        with answered():
            found = await self._jobs.find(wanted, {"node_id": 1, "run_no": 1}).to_list(None)
        return dict(await self._reading.each(found, place_from))

    async def queued_tickets(self, batch: int = 1_000) -> AsyncIterator[list[Ticket]]:
        cursor = self._jobs.find({"status": "QUEUED"}, TICKET_FIELDS).batch_size(batch)
        while documents := await self._next(cursor, batch):
            yield await self._reading.each(documents, ticket_from)

    async def rekey(self, keys: Sequence[tuple[str, float, float]]) -> list[Ticket]:
        """Of a write that is sent again nothing is moved twice: the present key is gone then."""
        queued = {"status": JobStatus.QUEUED.value}
        updates = [UpdateOne({"_id": i, "order_key": a, **queued}, {"$set": {"order_key": b}}) for i, a, b in keys]
        if not updates:
            return []
        await until_answered(lambda: self._jobs.bulk_write(updates, ordered=False), self._patience)
        new = {job_id: key for job_id, _, key in keys}
        with answered():
            found = await self._jobs.find({"_id": {"$in": list(new)}, **queued}, TICKET_FIELDS).to_list(None)
        tickets = await self._reading.each(found, ticket_from)
        return [ticket for ticket in tickets if ticket.key == new[ticket.job_id]]

    async def _next(self, cursor: Cursor, count: int) -> list[Document]:
        with answered():
            return await cursor.to_list(count)

    async def ended_before(self, moment: datetime, limit: int, after: EndedJob | None = None) -> list[EndedJob]:
        ended_jobs = {"$and": [job_queries.ended(moment, after), {"_id": {"$type": "string"}}]}
        found = self._jobs.find(ended_jobs, {"finished_at": 1, "batch_id": 1, "workflow_id": 1})
        with answered():
            ended = await found.sort([("finished_at", 1), ("_id", 1)]).limit(limit).to_list(None)
        return [EndedJob(d["finished_at"], d["_id"], d.get("batch_id"), d.get("workflow_id")) for d in ended]

    async def depended_on(self, job_ids: Iterable[str]) -> set[str]:
        wanted = set(job_ids)
        with answered():
            found = await self._jobs.find(job_queries.naming(wanted), {"dependencies": 1}).to_list(None)
        return wanted.intersection(parent for d in found for parent in d["dependencies"])

    async def absent(self, job_ids: Iterable[str]) -> set[str]:
        wanted = set(job_ids)
        with answered():
            found = await self._jobs.find({"_id": {"$in": list(wanted)}}, {"_id": 1}).to_list(None)
        return wanted - {d["_id"] for d in found}

    async def delete_ended(self, job_ids: Iterable[str], before: datetime) -> int:
        gone = {"_id": {"$in": list(job_ids)}, **job_queries.ended(before)}
        result = await until_answered(lambda: self._jobs.delete_many(gone), self._patience)
        return int(result.deleted_count)

    async def waiting_of(self, tenant: str, most: int) -> int:
        with answered():
            return await self._jobs.count_documents(job_queries.waiting_of(tenant), limit=most) if most else 0

    async def waiting_for(self, limits: Iterable[str], most: int) -> list[Job]:
        wanted = job_queries.waiting_for(list(limits))
        by_class = [{**wanted, "effective_priority": p.value} for p in Priority]
        found = await asyncio.gather(*(self._find(each, job_queries.IN_ORDER, most) for each in by_class))
        return [job for jobs in found for job in jobs]

    async def waiting_counts(self, limits: Iterable[str]) -> dict[str, int]:
        with answered():
            return {n: await self._jobs.count_documents(job_queries.waiting_for([n])) for n in limits}

    async def place_holders(self) -> dict[str, tuple[str, ...]]:
        fields = {"limits": 1, "batch_id": 1, "membership.width": 1}
        with answered():
            found = [await self._jobs.find(each, fields).to_list(None) for each in job_queries.PLACE_HOLDERS]
        return dict(await self._reading.each([d for each in found for d in each], limits_from))

    async def _find(self, wanted: Document, order: Sequence[tuple[str, int]] = (), limit: int = 0) -> list[Job]:
        """Readable ones; with a limit so many of them as there are, whatever else stands before them."""
        jobs: list[Job] = []
        seen: list[Any] = []
        while True:
            beyond = {"$and": [wanted, {"_id": {"$nin": seen}}]} if seen else wanted
            documents = await self._documents(beyond, order, limit and limit - len(jobs))
            readable = await self._readable(documents)
            jobs += readable
            if not limit or len(readable) == len(documents) or len(seen) > MOST_BAD:
                return jobs
            seen += [d["_id"] for d in documents]

    async def _documents(self, wanted: Document, order: Sequence[tuple[str, int]], limit: int) -> list[Document]:
        cursor = self._jobs.find(wanted, BARE)
        if order:
            cursor = cursor.sort(order)
        with answered():
            return await cursor.limit(limit).to_list(None)

    async def _readable(self, documents: Sequence[Document]) -> list[Job]:
        return await self._reading.each(await self._whole.shown(documents), self._loaded)

    def _loaded(self, document: Mapping[str, Any]) -> Job:
        check_job(document)
        self._subjects.remember(document)
        return checked(job_from(document))
