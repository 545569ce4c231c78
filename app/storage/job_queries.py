"""What is asked of the collection `jobs`, as filters, orders and pipelines. Pure; the indexes stand in `indexes.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.domain.errors import Invalid
from app.domain.ports import EndedJob
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.states import TERMINAL, WAITING, JobStatus
from app.storage.search import fact, search_words

Filter = dict[str, Any]

DEADLINES = frozenset({JobStatus.SUBMITTED, JobStatus.QUEUED, JobStatus.RETRYING, JobStatus.PAUSED})
"""States in which a passed `queue_deadline` ends a job; a PAUSED one only while it is held."""
DEPENDENT = frozenset({JobStatus.SUBMITTED, JobStatus.PAUSED})
"""States in which a job may wait for its parents."""
HELD = {"paused_from": {"$ne": JobStatus.RUNNING.value}}
"""True of every job but those that were paused while they ran."""
OPEN = tuple(s.value for s in JobStatus if s not in TERMINAL)
IN_TIME = {"submitted_at": {"$type": "date"}}
"""Pages go by the time of submission: a job without one has no place in them."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every time of ours. A partial index of dates is used only by questions that have such a bound themselves."""


def values(statuses: Iterable[JobStatus]) -> list[str]:
    return sorted(s.value for s in statuses)


def matching(query: JobQuery) -> Filter:
    """The filter of a listing, without its place in the pages."""
    equal = {
        "template": query.template,
        "parameters.algorithm": query.algorithm,
        "tags": query.tag,
        "priority": None if query.priority is None else query.priority.value,
        "batch_id": query.batch_id,
        "workflow_id": query.workflow_id,
    }
    found: Filter = {name: value for name, value in equal.items() if value is not None}
    if query.status:
        found["status"] = {"$in": values(query.status)}
    if query.text is not None and (words := search_words(query.text)):
        found["$and"] = [with_word(word) for word in words]
    if query.facts:
        found["facts"] = {"$all": [fact(path, value) for path, value in query.facts]}
    if query.submitted_after or query.submitted_before:
        bounds = {"$gte": query.submitted_after, "$lt": query.submitted_before}
        found["submitted_at"] = {name: moment for name, moment in bounds.items() if moment is not None}
    return found


def with_word(word: str) -> Filter:
    """Jobs of which a term begins with this text. A compiled pattern of Python would bring flags along, with which the
    server reads the whole index."""
    return {"search": {"$regex": f"^{re.escape(word)}"}}


def has_other_filters(query: JobQuery) -> bool:
    """Whether it asks for more than words."""
    return bool(matching(replace(query, text=None)))


def order(query: JobQuery) -> list[tuple[str, int]]:
    """By submission; jobs of one instant by id."""
    direction = 1 if query.oldest_first else -1
    return [("submitted_at", direction), ("_id", direction)]


def beyond(query: JobQuery, submitted_at: datetime, job_id: str) -> Filter:
    """What comes after this job in the listing's order."""
    further = "$gt" if query.oldest_first else "$lt"
    return {
        "$or": [
            {"submitted_at": {further: submitted_at}},
            {"submitted_at": submitted_at, "_id": {further: job_id}},
        ]
    }


def place_is_gone() -> Invalid:
    """The job that a page ended with was deleted meanwhile."""
    return Invalid.one("cursor", "the job at this place of the list is gone; list from the start", code="bad_cursor")


def due(now: datetime) -> list[tuple[Filter, list[tuple[str, int]]]]:
    """The three ways in which a time may have come, each with its order.

    A passed start time does not move a job whose parents are open, so those are asked newest first: what has just come
    due is never hidden behind what keeps waiting. The other two always end the wait.
    """
    return [
        ({"status": "RETRYING", "retry_at": {"$lte": now}}, [("retry_at", 1)]),
        ({"status": {"$in": values(DEADLINES)}, "deadline": {"$lte": now}, **HELD}, [("deadline", 1)]),
        ({"status": "SUBMITTED", "start_after": {"$lte": now}}, [("start_after", -1)]),
    ]


def ended(moment: datetime, after: EndedJob | None = None) -> Filter:
    """Terminal jobs that ended before the moment, from beyond a place in their order on.

    The state is an expression, which no index answers, so that the index of the ends is the one that is used.
    """
    found: Filter = {
        "finished_at": {"$gte": LONG_AGO, "$lt": moment},
        "$expr": {"$in": ["$status", values(TERMINAL)]},
    }
    if after is not None:
        found["finished_at"]["$gte"] = after.finished_at
        found["$or"] = [
            {"finished_at": {"$gt": after.finished_at}},
            {"finished_at": after.finished_at, "_id": {"$gt": after.id}},
        ]
    return found


def naming(parent_ids: Iterable[str]) -> Filter:
    """Jobs that have not ended and name one of these as a dependency; the index holds only jobs that name any."""
    return {
        "dependencies": {"$in": sorted(parent_ids)},
        "dependencies.0": {"$exists": True},
        "status": {"$in": list(OPEN)},
    }


def waiting_for(limits: list[str]) -> Filter:
    """SUBMITTED jobs that name one of these limits."""
    return {"status": "SUBMITTED", "limits.0": {"$exists": True}, "limits": {"$in": limits}}


def waiting_of(tenant: str) -> Filter:
    """Jobs of the tenant that wait."""
    return {"tenant": tenant, "status": {"$in": values(WAITING)}}


IN_ORDER = [("order_key", 1), ("_id", 1)]
_HOLDING: Filter = {"status": {"$in": [s for s in OPEN if s != "SUBMITTED"]}, "paused_from": {"$ne": "SUBMITTED"}}
PLACE_HOLDERS: tuple[Filter, ...] = (
    {"limits.0": {"$exists": True}, "limits": {"$type": "string"}, **_HOLDING},
    {"membership.width": {"$type": "number"}, **_HOLDING},
)
"""Open jobs that must have a place in each of their limits, as `app.domain.limits.holds_places` tells: by the named
ones, and by that of their batch."""


def _milliseconds(begin: Any, end: Any) -> Filter:
    """Between two times; null where one of them is none, which an average leaves out."""
    times = [{"$eq": [{"$type": moment}, "date"]} for moment in (begin, end)]
    return {"$cond": [{"$and": times}, {"$subtract": [end, begin]}, None]}


def classes_waiting_on(parent_ids: Iterable[str]) -> list[Filter]:
    """Each pair of one of these parents and an effective class of the jobs that wait for it, once."""
    named = {"dependencies": {"$in": list(parent_ids)}}
    return [
        {"$match": {"status": {"$in": values(DEPENDENT)}, **named}},
        {"$project": {"dependencies": 1, "effective_priority": 1}},
        {"$unwind": "$dependencies"},
        {"$match": named},
        {"$group": {"_id": {"parent": "$dependencies", "class": "$effective_priority"}}},
    ]


STATE_COUNTS: list[Filter] = [
    {"$match": {"status": {"$in": list(OPEN)}}},
    {
        "$group": {
            "_id": {"status": "$status", "class": "$effective_priority"},
            "jobs": {"$sum": 1},
            "oldest": {"$min": "$submitted_at"},
            "wait": {"$avg": _milliseconds({"$ifNull": ["$queued_at", "$submitted_at"]}, "$$NOW")},
        }
    },
    {"$sort": {"_id": 1}},
]
"""Jobs a state and class; `wait` in milliseconds since they were queued, else submitted."""


def queued_of(priority: Priority) -> Filter:
    """QUEUED jobs of an effective class with the time since when they are."""
    return {"status": "QUEUED", "effective_priority": priority.value, "queued_at": {"$gte": LONG_AGO}}


def not_eligible(now: datetime) -> list[Filter]:
    """SUBMITTED jobs by what keeps them from the queue, as `app.domain.explain` names it. Those that wait neither for
    a time nor for a parent wait for a place."""
    parents = {"$gt": [{"$size": {"$cond": [{"$isArray": "$dependencies"}, "$dependencies", []]}}, 0]}
    reasons = [
        {"case": parents, "then": "dependencies"},
        {"case": {"$gt": ["$start_after", now]}, "then": "start_time"},
    ]
    return [
        {"$match": {"status": "SUBMITTED"}},
        {"$group": {"_id": {"$switch": {"branches": reasons, "default": "concurrency_limit"}}, "jobs": {"$sum": 1}}},
    ]


def mean_waits(since: datetime) -> list[Filter]:
    """Mean milliseconds from queued to started by class, over jobs whose last start is not older."""
    return [
        {"$match": {"started_at": {"$gte": since}, "$expr": {"$gte": ["$started_at", "$queued_at"]}}},
        {"$group": {"_id": "$effective_priority", "wait": {"$avg": _milliseconds("$queued_at", "$started_at")}}},
    ]
