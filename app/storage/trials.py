"""Trials of sweeps in MongoDB.

    {_id: "{sweep}-{number}", sweep_id, number, job_id, values: [[name, value]], asked_at, untold: [number], seq,
     rungs: [[step, value]], stopped_at,
     end: {outcome, at, value, step, cluster_seconds, fingerprint, told: [name]} | null}

Names of parameters may hold dots, so that values are pairs, which also keeps their order. A record is inserted once,
and replaced only by the one that follows its `seq`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pymongo import ReplaceOne

from app.domain.sweeps.trials import Outcome, Trial, TrialEnd
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.group_commit import GroupedInserts
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

_PLAIN = ("sweep_id", "number", "job_id", "asked_at", "seq", "stopped_at")


class MongoTrialStore:
    """`TrialStore` over the collection `trials`."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._trials, self._patience = database["trials"], patience
        self._inserts = GroupedInserts(self._trials, patience)
        self._reading = Reading("trial", quarantine)

    async def insert(self, trials: Sequence[Trial]) -> list[Trial]:
        new = await self._inserts.insert([_document(trial) for trial in trials])
        if all(new):
            return list(trials)
        standing = {trial.number: trial for trial in await self._read({"_id": {"$in": [_id(t) for t in trials]}})}
        return [standing[trial.number] for trial in trials]

    async def of(self, sweep_id: str, since: int = 0) -> list[Trial]:
        return await self._read({"sweep_id": sweep_id, "number": {"$gte": since}})

    async def replace(self, trials: Sequence[Trial]) -> list[bool]:
        if not trials:
            return []
        writes = [ReplaceOne({"_id": _id(t), "seq": t.seq - 1}, _document(t)) for t in trials]
        result = await until_answered(lambda: self._trials.bulk_write(writes, ordered=False), self._patience)
        if result.matched_count == len(trials):
            return [True] * len(trials)
        standing = {_id(t): t for t in await self._read({"_id": {"$in": [_id(t) for t in trials]}})}
        return [standing.get(_id(trial)) == trial for trial in trials]

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        await until_answered(lambda: self._trials.delete_many({"job_id": {"$in": list(job_ids)}}), self._patience)

    async def _read(self, wanted: Document) -> list[Trial]:
        with answered():
            found = await self._trials.find(wanted).sort([("number", 1)]).to_list(None)
        return await self._reading.each(found, _trial)


def _id(trial: Trial) -> str:
    return f"{trial.sweep_id}-{trial.number}"


def _document(trial: Trial) -> Document:
    end = trial.end
    return {
        "_id": _id(trial),
        **{name: getattr(trial, name) for name in _PLAIN},
        "values": [[name, value] for name, value in trial.values.items()],
        "untold": list(trial.untold),
        "rungs": [[rung, value] for rung, value in trial.rungs.items()],
        "end": None if end is None else {**asdict(end), "outcome": end.outcome.value},
    }


def _end(d: Mapping[str, Any]) -> TrialEnd:
    return TrialEnd(**{**d, "outcome": Outcome(d["outcome"]), "told": tuple(d.get("told", ()))})


def _trial(d: Mapping[str, Any]) -> Trial:
    end = d["end"]
    return Trial(
        **{name: d[name] for name in _PLAIN},
        values=dict(d["values"]),
        untold=tuple(d["untold"]),
        rungs=dict(d["rungs"]),
        end=None if end is None else _end(end),
    )
