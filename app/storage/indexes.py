"""All indexes of the database, as one list, and the call that makes the database agree with it.

Creating an index that exists is no work, so any number of processes may do it at any time. An index that was changed
here under the same name is dropped and made anew, by the service alone: a worker of another version, started while the
service is of this one, must not take its indexes away. Indexes that are not ours are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from pymongo import IndexModel
from pymongo.errors import OperationFailure

from app.domain.states import WAITING
from app.retention import RetentionSettings
from app.storage import batch_queries
from app.storage.failures import until_answered
from app.storage.job_queries import DEADLINES, DEPENDENT, LONG_AGO, values
from app.storage.mongo import Collection, Database
from app.storage.run_documents import MEASURED

log = structlog.get_logger()

_DATE = {"$gte": LONG_AGO}
_TEXT = {"$gte": ""}
"""Every text. That the text in a question is of `{"$type": "string"}` the server does not see, and leaves the index."""
DECISIONS_KEPT = timedelta(days=7)
AT_ONCE = timedelta(0)
PARTS_KEPT = timedelta(days=30)
LONGEST_KEPT = 2_147_483_647
"""Seconds: more the server does not take."""
UP, DOWN = 1, -1
NEWEST = (("submitted_at", DOWN), ("_id", DOWN))
_CHANGED = frozenset({85, 86})
"""IndexOptionsConflict, IndexKeySpecsConflict."""
_GONE = frozenset({26, 27})
"""NamespaceNotFound, IndexNotFound: somebody else was faster."""


def _index(name: str, *keys: tuple[str, int], **options: Any) -> IndexModel:
    return IndexModel(list(keys), name=name, **options)


def _kept(field: str, time: timedelta) -> IndexModel:
    """The store itself deletes documents so long after the time in this field."""
    return _index("kept", (field, UP), expireAfterSeconds=min(LONGEST_KEPT, math.ceil(time.total_seconds())))


def _while(name: str, status: str | Sequence[str], *keys: tuple[str, int]) -> IndexModel:
    """An index of the jobs in a state only: small, whatever has ended."""
    wanted = status if isinstance(status, str) else {"$in": list(status)}
    return _index(name, *keys, partialFilterExpression={"status": wanted})


def _ended(name: str, *fields: str) -> IndexModel:
    """An index of run summaries: the newest with these values, by their outcomes."""
    return _index(name, *((field, UP) for field in fields), ("outcome", UP), ("finished_at", DOWN))


def _measured(name: str, *keys: tuple[str, int]) -> IndexModel:
    """An index of the run summaries that tell of memory."""
    return _index(name, *keys, partialFilterExpression=MEASURED)


def _present(name: str, field: str, *keys: tuple[str, int]) -> IndexModel:
    """An index of the documents that have a text in this field."""
    return _index(name, (field, UP), *keys, partialFilterExpression={field: _TEXT})


INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "jobs": (
        _index("key", ("keyed.key", UP), unique=True, partialFilterExpression={"keyed.key": _TEXT}),
        _index("newest", *NEWEST),
        _index("by_status", ("status", UP), *NEWEST),
        _index("by_template", ("template", UP), *NEWEST),
        _index("by_tag", ("tags", UP), *NEWEST),
        _index("by_search", ("search", UP)),
        _index("by_fact", ("facts", UP), *NEWEST),
        _present("by_algorithm", "parameters.algorithm", *NEWEST),
        _present("by_batch", "batch_id", *NEWEST),
        _index(batch_queries.INDEX, *batch_queries.KEYS, partialFilterExpression={"batch_id": _TEXT}),
        _index(
            "of_width",
            ("status", UP),
            ("membership.width", UP),
            partialFilterExpression={"membership.width": {"$type": "number"}},
        ),
        _present("by_workflow", "workflow_id", *NEWEST),
        _present("on_node", "node_id", ("status", UP)),
        _index("counted", ("status", UP), ("effective_priority", UP), ("queued_at", UP), ("submitted_at", UP)),
        _index("started_at", ("started_at", DOWN), partialFilterExpression={"started_at": _DATE}),
        _index("finished_at", ("finished_at", UP), ("_id", UP), partialFilterExpression={"finished_at": _DATE}),
        _index("parents", ("dependencies", UP), partialFilterExpression={"dependencies.0": {"$exists": True}}),
        _while("waiting_on", values(DEPENDENT), ("dependencies", UP)),
        _while("of_tenant", values(WAITING), ("tenant", UP)),
        _index(
            "limits",
            ("limits", UP),
            ("status", UP),
            ("effective_priority", UP),
            ("order_key", UP),
            ("_id", UP),
            partialFilterExpression={"limits.0": {"$exists": True}},
        ),
        _while("start_after", "SUBMITTED", ("start_after", DOWN)),
        _while("retry_at", "RETRYING", ("retry_at", UP)),
        _while("deadline", values(DEADLINES), ("deadline", UP)),
    ),
    "batches": (
        _index("key", ("keyed.key", UP), unique=True, partialFilterExpression={"keyed.key": _TEXT}),
        _index("by_status", ("status", UP), ("_id", DOWN)),
        _index("by_kind", ("kind", UP), ("_id", DOWN)),
        _index("left", ("laid_out", UP), partialFilterExpression={"laid_out": False}),
        _index("wishes", ("control.at", UP), partialFilterExpression={"control.at": _DATE}),
        _index("callback_due", ("callback.due", UP), partialFilterExpression={"callback.due": _DATE}),
    ),
    "runs": (
        _ended("alike", "tenant", "template", "algorithm", "dataset"),
        _ended("of_tenant", "tenant", "template", "algorithm"),
        _ended("of_template", "template", "algorithm"),
        _present("of_algorithm", "algorithm", ("outcome", UP), ("finished_at", DOWN)),
        _index("of_node", ("outcome", UP), ("node_id", UP)),
        _index("of_job", ("job_id", UP), ("run_no", UP)),
        _measured("needs", ("outcome", UP), ("finished_at", DOWN)),
        _measured("needs_of_tenant", ("tenant", UP), ("outcome", UP), ("finished_at", DOWN)),
    ),
    "rollups": (_index("of_one", ("whose", UP), ("_id", UP)),),
    "logs": (_index("of_run", ("job_id", UP), ("run_no", DOWN), ("first", UP)),),
    "metrics": (_index("of_run", ("job_id", UP), ("run_no", DOWN), ("first", UP)),),
    "trials": (_index("of_sweep", ("sweep_id", UP), ("number", UP)), _index("of_job", ("job_id", UP))),
    "artifacts.files": (
        _index("filename_1_uploadDate_1", ("filename", UP), ("uploadDate", UP)),
        _index("of_job", ("metadata.job_id", UP), ("metadata.kind", UP)),
    ),
    "nodes": (_index("lost", ("last.at", UP), partialFilterExpression={"state": "LOST"}),),
    "workflows": (
        _index("newest", *NEWEST),
        _index("by_status", ("status", UP), *NEWEST),
        _index("by_name", ("name", UP), *NEWEST),
        _index("open", ("status", UP), ("_id", UP)),
        _index("approve_by", ("approve_by", UP), partialFilterExpression={"approve_by": _DATE}),
    ),
    "workflow_definitions": (_index("versions", ("name", UP), ("version", DOWN)),),
    "schedules": (_index("next_at", ("next_at", UP)),),
    "templates": (_index("by_version", ("id", UP), ("version", DOWN)),),
    "secrets": (_index("of_job", ("job_id", UP)),),
    "artifacts.chunks": (_index("files_id_1_n_1", ("files_id", UP), ("n", UP), unique=True),),
}
"""By collection. What is found by `_id` alone (nodes, leases, datasets, names) needs none."""


def kept_indexes(retention: RetentionSettings) -> Mapping[str, Sequence[IndexModel]]:
    """What makes the store delete by itself. Only the service makes these: a worker does not know its settings.

    Metrics go with their job; those that a run wrote after its job was gone are found by their age. What a step has put
    out is taken over for half as long as it is kept, so that whoever takes it over has it for the other half.
    """
    return {
        "answers": (_kept("at", retention.answers),),
        "batches": (_kept("finished_at", retention.jobs),),
        "batch_parts": (_kept("at", PARTS_KEPT),),
        "runs": (_kept("finished_at", retention.runs),),
        "rollups": (_kept("expires_at", AT_ONCE),),
        "logs": (_kept("at", retention.logs),),
        "metrics": (_kept("first", 2 * retention.jobs),),
        "decisions": (_kept("at", DECISIONS_KEPT),),
        "quarantine": (_kept("first_seen", retention.jobs),),
        "workflows": (_kept("finished_at", retention.jobs),),
        "step_cache": (_kept("at", retention.jobs / 2),),
    }


POLL_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "jobs": (_index("last_at", ("last.at", UP)),),
    "nodes": (_index("last_at", ("last.at", UP)),),
    "batches": (_index("last_at", ("last.at", UP)),),
    "workflows": (_index("last_at", ("last.at", UP)),),
}
"""What the feed asks by where it must poll. Every transition pays for them, so they are made when polling begins."""


async def ensure_indexes(
    database: Database, indexes: Mapping[str, Sequence[IndexModel]] = INDEXES, *, change: bool = True
) -> None:
    """Make every index exist, and with `change` as it stands here. Raises Unavailable."""
    for name, models in indexes.items():
        for model in models:
            await _ensure(database[name], model, change=change)


async def _ensure(collection: Collection, model: IndexModel, *, change: bool) -> None:
    try:
        await until_answered(lambda: collection.create_indexes([model]))
    except OperationFailure as error:
        if error.code not in _CHANGED:
            raise
        name = model.document["name"]
        if not change:
            log.info("index.differs", collection=collection.name, index=name)
            return
        log.warning("index.changed", collection=collection.name, index=name)
        await _drop(collection, name)
        await until_answered(lambda: collection.create_indexes([model]))


async def _drop(collection: Collection, name: str) -> None:
    try:
        await collection.drop_index(name)
    except OperationFailure as error:
        if error.code not in _GONE:
            raise
