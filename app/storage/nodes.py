"""Nodes in MongoDB: the node document is the ledger of what is allocated on it.

`free` and `gpu_free` are always the capacity less the allocations, since each update moves both sides. A reservation is
one guarded update for all its allocations, a release one for all that were gathered; both may be sent again.

    {_id, state, epoch, labels, logical, facts, registered_at, capacity: {…}, free: {…}, gpu_free: [1, 2],
     allocations: {"job_…-3": {job_id, run_no, vector: {…}, gpus: [0]}}, last: {state, reason, at},
     drain: {actor, reason, at, patient?} or null, report: {at, since, cpu_cores, memory_mib, refused: {kind: n}}}

`drain` is somebody's wish, and outlives what the worker says of its node: whoever registers while it stands is
DRAINING. Only a patient one ends there: what registers anew is another node to the fleet.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from app.domain.ids import is_object_id, run_key
from app.domain.nodes import Allocation, Drain, Node, NodeReport, NodeState
from app.domain.ports import node_lease
from app.quarantine import Quarantine
from app.storage.amounts import Document
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.gatherer import Gatherer
from app.storage.mongo import Database
from app.storage.node_documents import (
    drain_stages,
    last_move,
    node_from,
    registration,
    release_stages,
    report_document,
    reservation,
)
from app.storage.quarantine import Reading
from app.storage.shapes import checked_node

FLUSH = 1_000
NOBODY_HURRIES = {"$or": [{"drain": None}, {"drain.patient": True}]}
"""Guard: no wish stands that is not patient."""
Release = tuple[str, str]
"""A node's id and the key of a run on it."""


class MongoNodeStore:
    """`NodeStore` over the collections `nodes` and `leases`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("node", quarantine)
        self._nodes, self._leases = database["nodes"], database["leases"]
        self._patience = patience
        self._releases = Gatherer[Release, bool](self._release, FLUSH)

    async def register(self, node: Node) -> None:
        stages = registration(node)

        async def upsert() -> None:
            try:
                await self._nodes.update_one({"_id": node.id}, stages, upsert=True)
            except DuplicateKeyError:  # two upserts of one node met: it exists now
                await self._nodes.update_one({"_id": node.id}, stages)

        await until_answered(upsert, self._patience)

    async def get(self, node_id: str) -> Node | None:
        with answered():
            document, lease = await asyncio.gather(
                self._nodes.find_one({"_id": node_id}), self._leases.find_one({"_id": node_lease(node_id)})
            )
        until = {node_lease(node_id): (lease or {}).get("until")}
        return next(iter(await self._readable([document] if document else [], until)), None)

    async def all(self) -> list[Node]:
        with answered():
            documents, leases = await asyncio.gather(
                self._nodes.find({}).sort([("_id", 1)]).to_list(None), self._leases.find({}).to_list(None)
            )
        return await self._readable(documents, {str(lease["_id"]): lease.get("until") for lease in leases})

    async def _readable(self, documents: Sequence[Document], until: Mapping[str, Any]) -> list[Node]:
        """`until` by the name of the lease; one that says no time is one that nobody holds."""

        def read(d: Mapping[str, Any]) -> Node:
            lease = until.get(node_lease(str(d["_id"])))
            return checked_node(node_from(d, lease if isinstance(lease, datetime) else None))

        return await self._reading.each(documents, read)

    async def reserve(self, node_id: str, allocations: Sequence[Allocation], epoch: int | None = None) -> bool:
        """See the port. What is already held exactly like this counts as reserved."""
        indices = [n for a in allocations for n in a.gpu_indices]
        if len(indices) != len(set(indices)):
            return False
        guard, update = reservation(node_id, allocations)
        named = guard | _of(epoch)
        result = await until_answered(lambda: self._nodes.update_one(named, update), self._patience)
        return bool(result.matched_count) or await self._holds(node_id, allocations)

    async def _holds(self, node_id: str, allocations: Sequence[Allocation]) -> bool:
        node = await self.get(node_id)
        return node is not None and set(allocations) <= set(node.allocations)

    async def release(self, node_id: str, runs: Sequence[tuple[str, int]]) -> int:
        """See the port. After an answer that was lost, what it released is not counted."""
        keys = dict.fromkeys(run_key(job_id, run_no) for job_id, run_no in runs if is_object_id(job_id))
        return sum(await self._releases.add([(node_id, key) for key in keys]))

    async def _release(self, releases: list[Release]) -> list[bool]:
        keys: dict[str, list[str]] = defaultdict(list)
        for node_id, key in dict.fromkeys(releases):
            keys[node_id].append(key)
        held = await asyncio.gather(*(self._give_back(node_id, of_node) for node_id, of_node in keys.items()))
        were_held = {release for found in held for release in found}
        answers = []
        for release in releases:
            answers.append(release in were_held)
            were_held.discard(release)
        return answers

    async def _give_back(self, node_id: str, keys: Sequence[str]) -> list[Release]:
        """Those of the runs that were held by the node until now."""
        wanted = {f"allocations.{key}.run_no": 1 for key in keys}
        before = await until_answered(
            lambda: self._nodes.find_one_and_update(
                {"_id": node_id}, release_stages(keys), projection=wanted, return_document=ReturnDocument.BEFORE
            ),
            self._patience,
        )
        return [(node_id, key) for key in (before or {}).get("allocations", {})]

    async def set_state(
        self, node_id: str, state: NodeState, reason: str, at: datetime, epoch: int | None = None
    ) -> bool:
        update = {"$set": {"state": state.value, "last": last_move(state.value, reason, at)}}
        named = {"_id": node_id, **_of(epoch)}
        other = {**named, "state": {"$ne": state.value}}
        result = await until_answered(lambda: self._nodes.update_one(other, update), self._patience)
        if result.matched_count:
            return True
        with answered():
            return await self._nodes.find_one(named, {"_id": 1}) is not None

    async def set_drain(
        self, node_id: str, drain: Drain | None, at: datetime, *, patiently: bool = False
    ) -> Node | None:
        stages = drain_stages(drain, at)
        named = {"_id": node_id, **(NOBODY_HURRIES if patiently else {})}
        await until_answered(lambda: self._nodes.update_one(named, stages), self._patience)
        return await self.get(node_id)

    async def forget(self, node_id: str) -> bool:
        gone = {"_id": node_id, "state": NodeState.LOST.value, "allocations": {}, **NOBODY_HURRIES}
        result = await until_answered(lambda: self._nodes.delete_one(gone), self._patience)
        return bool(result.deleted_count)

    async def report(self, node_id: str, report: NodeReport, epoch: int) -> None:
        document = {"report": report_document(report)}
        named = {"_id": node_id, "epoch": epoch}
        await until_answered(lambda: self._nodes.update_one(named, {"$set": document}), self._patience)

    async def forget_lost(self, before: datetime) -> list[str]:
        lost = {"state": NodeState.LOST.value, "last.at": {"$lt": before}, "allocations": {}, "drain": None}
        with answered():
            found = await self._nodes.find(lost, {"_id": 1}).to_list(None)
        for node in found:
            await until_answered(partial(self._nodes.delete_one, {**lost, "_id": node["_id"]}), self._patience)
        return [node["_id"] for node in found]


def _of(epoch: int | None) -> Document:
    """The guard that names an epoch, where one is to be named."""
    return {} if epoch is None else {"epoch": epoch}
