"""Workflows in MongoDB: definitions, runs, schedules, and the cache of steps.

A run is one document, so every change of it is one guarded write. Definitions never change, so they are kept in memory
once they were read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from app.domain.ports.workflows import DefinitionRow, WorkflowPage, WorkflowQuery
from app.domain.workflows.changes import WorkflowChange
from app.domain.workflows.definition import Definition, PinnedDefinition
from app.domain.workflows.schedules import Schedule
from app.domain.workflows.state import Workflow, WorkflowStatus
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, not_storable, unstorable, until_answered
from app.storage.kept import kept_ids
from app.storage.mongo import Collection, Database, Document
from app.storage.quarantine import Reading
from app.storage.workflow_documents import (
    BARE,
    ROW,
    change_update,
    definition_digest,
    definition_document,
    definition_from,
    definition_json,
    row_from,
    schedule_document,
    schedule_from,
    workflow_document,
    workflow_from,
)

REMEMBERED = 16 << 20
"""Bytes of JSON of definitions that a process remembers. In memory they are some times as large."""
OPEN = [WorkflowStatus.RUNNING.value, WorkflowStatus.PAUSED.value]


class MongoDefinitionStore:
    """`DefinitionStore` over the collection `workflow_definitions`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("workflow_definition", quarantine)
        self._database, self._patience = database, patience
        self._definitions = database["workflow_definitions"]
        self._known = _Known()

    async def define(self, definition: Definition, templates: Mapping[str, int], at: datetime) -> PinnedDefinition:
        json = definition_json(definition)
        digest = definition_digest(json, templates)
        while True:
            newest = await self._newest(definition.name)
            if newest is not None and newest["digest"] == digest:
                return await self._read(newest) or PinnedDefinition(definition, newest["version"], templates, at)
            version = 1 if newest is None else newest["version"] + 1
            document = definition_document(definition, version, templates, at)
            try:
                await until_answered(lambda d=document: self._definitions.insert_one(d), self._patience)  # type: ignore[misc]
            except DuplicateKeyError:
                continue
            except Exception as error:
                if unstorable(error):
                    raise not_storable(error) from error
                raise
            return self._known.keep(PinnedDefinition(definition, version, dict(templates), at), len(json))

    async def get(self, name: str, version: int | None = None) -> PinnedDefinition | None:
        if version is None:
            newest = await self._newest(name)
            return None if newest is None else await self._read(newest)
        known = self._known.get(name, version)
        if known is not None:
            return known
        with answered():
            found = await self._definitions.find_one({"_id": f"{name}:{version}"})
        return None if found is None else await self._read(found)

    async def page(self, limit: int, after: str = "") -> list[DefinitionRow]:
        newest: list[Document] = [
            {"$match": {"name": {"$gt": after}}},
            {"$sort": {"name": 1, "version": -1}},
            {"$group": {"_id": "$name", "newest": {"$first": "$_id"}}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ]
        with answered():
            ids = [row["newest"] async for row in self._database.aggregate("workflow_definitions", newest)]
        return await self._rows({"_id": {"$in": ids}}, ("name", 1), limit)

    async def versions(self, name: str, limit: int, before: int | None = None) -> list[DefinitionRow]:
        wanted: Document = {"name": name} if before is None else {"name": name, "version": {"$lt": before}}
        return await self._rows(wanted, ("version", -1), limit)

    async def _rows(self, wanted: Document, order: tuple[str, int], limit: int) -> list[DefinitionRow]:
        with answered():
            found = await self._definitions.find(wanted, ROW).sort([order]).limit(limit).to_list(None)
        return await self._reading.each(found, row_from)

    async def _newest(self, name: str) -> Document | None:
        newest = self._definitions.find({"name": name}).sort([("version", -1)]).limit(1)
        with answered():
            return next(iter(await newest.to_list(1)), None)

    async def _read(self, document: Document) -> PinnedDefinition | None:
        known = self._known.get(document["name"], document["version"])
        if known is not None:
            return known
        pinned = next(iter(await self._reading.each([document], definition_from)), None)
        return None if pinned is None else self._known.keep(pinned, len(document["json"]))


class _Known:
    """Definitions that were read, the last used ones, by name and version: as many as have `REMEMBERED` bytes of JSON
    together, and one however large."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], tuple[PinnedDefinition, int]] = OrderedDict()
        self._size = 0

    def get(self, name: str, version: int) -> PinnedDefinition | None:
        """The definition, where it is known."""
        if (name, version) not in self._kept:
            return None
        self._kept.move_to_end((name, version))
        return self._kept[name, version][0]

    def keep(self, pinned: PinnedDefinition, size: int) -> PinnedDefinition:
        """Remember it, of so many bytes of JSON."""
        if self.get(pinned.name, pinned.version) is None:
            self._kept[pinned.name, pinned.version] = pinned, size
            self._size += size
        while self._size > REMEMBERED and len(self._kept) > 1:
            _, (_, forgotten) = self._kept.popitem(last=False)
            self._size -= forgotten
        return pinned


class MongoWorkflowStore:
    """`WorkflowStore` over the collection `workflows`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("workflow", quarantine)
        self._workflows, self._patience = database["workflows"], patience

    async def insert(self, workflow: Workflow) -> bool:
        document = workflow_document(workflow)
        try:
            await until_answered(lambda: self._workflows.insert_one(document), self._patience)
        except DuplicateKeyError:
            return False
        return True

    async def get(self, workflow_id: str) -> Workflow | None:
        with answered():
            found = await self._workflows.find_one({"_id": workflow_id})
        return next(iter(await self._reading.each([found] if found else [], workflow_from)), None)

    async def commit(self, change: WorkflowChange) -> bool:
        """See the port. A change that cannot be stored raises Invalid."""
        guard, update = {"_id": change.workflow_id, "seq": change.seq}, change_update(change)
        try:
            result = await until_answered(lambda: self._workflows.update_one(guard, update), self._patience)
        except Exception as error:
            if unstorable(error):
                raise not_storable(error) from error
            raise
        return bool(result.matched_count) or await self._was_made(change)

    async def _was_made(self, change: WorkflowChange) -> bool:
        with answered():
            found = await self._workflows.find_one({"_id": change.workflow_id, "ops": change.op}, {"_id": 1})
        return found is not None

    async def find(self, query: WorkflowQuery) -> WorkflowPage:
        wanted: Document = {}
        if query.status:
            wanted["status"] = {"$in": sorted(status.value for status in query.status)}
        if query.name is not None:
            wanted["name"] = query.name
        if query.after is not None:
            wanted |= await self._beyond(query.after)
        found = self._workflows.find(wanted, BARE).sort([("submitted_at", -1), ("_id", -1)]).limit(query.limit + 1)
        with answered():
            documents = await found.to_list(None)
        page = documents[: query.limit]
        more = len(documents) > query.limit
        return WorkflowPage(tuple(await self._reading.each(page, workflow_from)), page[-1]["_id"] if more else None)

    async def _beyond(self, workflow_id: str) -> Document:
        with answered():
            last = await self._workflows.find_one({"_id": workflow_id}, {"submitted_at": 1})
        if last is None:
            return {"_id": {"$in": []}}
        at = last["submitted_at"]
        return {"$or": [{"submitted_at": {"$lt": at}}, {"submitted_at": at, "_id": {"$lt": workflow_id}}]}

    async def open(self, limit: int, after: str | None = None) -> list[str]:
        wanted: Document = {"status": {"$in": OPEN}, "_id": {"$gt": after or ""}}
        return await self._ids(wanted, "_id", limit)

    async def kept(self, workflow_ids: Iterable[str], since: datetime) -> set[str]:
        return await kept_ids(self._workflows, workflow_ids, since)

    async def sealed_of(self, workflow_ids: Iterable[str]) -> dict[str, str | None]:
        return await _sealed_of(self._workflows, workflow_ids)

    async def approvals_due(self, now: datetime, limit: int) -> list[str]:
        wanted: Document = {"status": WorkflowStatus.RUNNING.value, "approve_by": {"$lte": now}}
        return await self._ids(wanted, "approve_by", limit)

    async def _ids(self, wanted: Document, order: str, limit: int) -> list[str]:
        found = self._workflows.find(wanted, {"_id": 1}).sort([(order, 1)]).limit(limit)
        with answered():
            return [d["_id"] for d in await found.to_list(None)]


class MongoScheduleStore:
    """`ScheduleStore` over the collection `schedules`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("schedule", quarantine)
        self._schedules, self._patience = database["schedules"], patience

    async def get(self, name: str) -> Schedule | None:
        return next(iter(await self._find({"_id": name}, 1)), None)

    async def page(self, limit: int, after: str = "") -> list[Schedule]:
        return await self._find({"_id": {"$gt": after}}, limit)

    async def insert(self, schedule: Schedule) -> bool:
        """See the port. Sent again after a lost answer it meets itself, which counts as inserted."""
        document = schedule_document(schedule)
        try:
            await until_answered(lambda: self._schedules.insert_one(document), self._patience)
        except DuplicateKeyError:
            return await self.get(schedule.name) == schedule
        return True

    async def sealed_of(self, names: Iterable[str]) -> dict[str, str | None]:
        return await _sealed_of(self._schedules, names)

    async def delete(self, name: str) -> bool:
        result = await until_answered(lambda: self._schedules.delete_one({"_id": name}), self._patience)
        return bool(result.deleted_count)

    async def due(self, now: datetime, limit: int) -> list[Schedule]:
        return await self._find({"next_at": {"$lte": now}}, limit)

    async def move_on(self, before: Schedule, after: Schedule) -> bool:
        guard = {"_id": before.name, "next_at": before.next_at, "created_at": before.created_at}
        document = schedule_document(after)
        del document["_id"]
        result = await until_answered(lambda: self._schedules.update_one(guard, {"$set": document}), self._patience)
        return bool(result.matched_count)

    async def _find(self, wanted: Document, limit: int) -> list[Schedule]:
        found = self._schedules.find(wanted).sort([("_id", 1)]).limit(limit)
        with answered():
            documents = await found.to_list(None)
        return await self._reading.each(documents, schedule_from)


async def _sealed_of(collection: Collection, ids: Iterable[str]) -> dict[str, str | None]:
    with answered():
        found = await collection.find({"_id": {"$in": list(ids)}}, {"sealed": 1}).to_list(None)
    return {d["_id"]: d.get("sealed") for d in found}


class MongoStepCache:
    """`StepCache` over the collection `step_cache`: {_id: key, job_id, at}."""

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._kept, self._patience = database["step_cache"], patience

    async def find(self, keys: Sequence[str]) -> dict[str, str]:
        with answered():
            found = await self._kept.find({"_id": {"$in": list(keys)}}).to_list(None)
        return {d["_id"]: d["job_id"] for d in found}

    async def keep(self, key: str, job_id: str, at: datetime) -> None:
        update = {"$set": {"job_id": job_id, "at": at}}
        await until_answered(lambda: self._kept.update_one({"_id": key}, update, upsert=True), self._patience)
