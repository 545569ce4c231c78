"""A job as a document and back. Written by hand: it runs for every submit and every transition.

Names are the attributes of `Job`; `_id` is the id. Beside them a document carries what only the store needs:
- `last`: the newest history entry with what a subscriber wants to know of the job (`SUBJECT`), so that the feed looks
  nothing up;
- `search` and `facts`: what a job is found by (`app.storage.search`);
- `deadline`: when it stops waiting.
Times are BSON dates (UTC, milliseconds), vectors objects of integers, enumerations strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from app.domain.durations import Duration
from app.domain.job import Asked, Control, DependencyType, Entry, Job, JobError, Membership, Progress, StepState
from app.domain.priority import Priority
from app.domain.retry import RetryPolicy
from app.domain.states import JobStatus
from app.domain.templates import Step
from app.domain.transitions import Change
from app.storage.amounts import (
    Document,
    attempt_document,
    attempt_from,
    sizing_document,
    sizing_from,
    vector_document,
    vector_from,
)
from app.storage.search import search_fields

SUBJECT = (
    "name", "tags", "batch_id", "workflow_id", "step_id", "step_item", "tenant", "template", "priority",
    "effective_priority", "moved_to",
)  # fmt: skip
"""What `last` tells of the job beside the entry."""
PLAIN = (
    "name", "tenant", "seq", "template", "template_version", "executor", "parameters", "order_key", "timeout",
    "submitted_at", "metadata", "node_selector", "preemptible", "resume", "start_after", "queue_deadline", "queued_at",
    "scheduled_at", "started_at", "finished_at", "retry_at", "node_id", "attempt", "run_no", "infra_losses",
    "attempt_base", "result", "checkpoint", "batch_id", "workflow_id", "step_id", "prefer", "pin", "moved_to",
    "preempted", "sealed", "step_item",
)  # fmt: skip
"""Attributes stored as they are."""
LATER: Mapping[str, Any] = {
    "prefer": {}, "pin": None, "moved_to": None, "preempted": 0, "expected": None, "sizing": None, "secrets": (),
    "membership": None, "sealed": None, "asked": (), "step_item": None,
}  # fmt: skip
"""What a document says that was stored before there was such an attribute."""
_PLAIN = frozenset(PLAIN)
_plain_values = attrgetter(*PLAIN)


def entry_document(entry: Entry) -> Document:
    """The entry as history holds it."""
    return {
        "seq": entry.seq,
        "from": None if entry.source is None else str(entry.source),
        "to": str(entry.to),
        "reason": entry.reason,
        "at": entry.at,
        "actor": entry.actor,
        "attempt": entry.attempt,
        "run_no": entry.run_no,
        "detail": entry.detail,
        "op": entry.op,
    }


def entry_from(d: Mapping[str, Any]) -> Entry:
    """The entry of a history."""
    source = None if d["from"] is None else JobStatus(d["from"])
    return Entry(
        d["seq"], source, JobStatus(d["to"]), d["reason"], d["at"], d["actor"], d["attempt"], d["run_no"], d["detail"],
        d["op"],
    )  # fmt: skip


def _step_document(step: Step) -> Document:
    document: Document = {"step": step.step}
    if step.timeout is not None:
        document["timeout"] = step.timeout
    if step.command is not None:
        document["command"] = list(step.command)
    if step.env:
        document["env"] = dict(step.env)
    return document


def _step_from(d: Mapping[str, Any]) -> Step:
    command = d.get("command")
    return Step(d["step"], d.get("timeout"), None if command is None else tuple(command), d.get("env") or {})


def _retry_document(policy: RetryPolicy) -> Document:
    return {
        "max_attempts": policy.max_attempts,
        "retry_delay": policy.retry_delay,
        "backoff": policy.backoff,
        "max_delay": policy.max_delay,
        "jitter": policy.jitter,
        "retry_on": list(policy.retry_on),
        "memory_growth": policy.memory_growth,
    }


def _retry_from(d: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy(**{**d, "retry_on": tuple(d["retry_on"])})


def _error_document(e: JobError) -> Document:
    return {
        "code": e.code,
        "message": e.message,
        "step": e.step,
        "exit_code": e.exit_code,
        "signal": e.signal,
        "fingerprint": e.fingerprint,
        "log_tail": list(e.log_tail),
        "exception_type": e.exception_type,
        "frame": e.frame,
    }


def _control_document(c: Control) -> Document:
    return {"action": c.action, "actor": c.actor, "reason": c.reason, "at": c.at}


def progress_document(p: Progress) -> Document:
    """What a live run last said; the feed reads it as it is."""
    return {
        "run_no": p.run_no,
        "at": p.at,
        "fraction": p.fraction,
        "step": p.step,
        "text": p.text,
        "steps": [
            {
                "step": s.step,
                "status": s.status,
                "started_at": s.started_at,
                "finished_at": s.finished_at,
                "text": s.text,
            }
            for s in p.steps
        ],
        "metrics": dict(p.metrics),
    }


def _progress_from(d: Mapping[str, Any]) -> Progress:
    return Progress(**{**d, "steps": tuple(StepState(**s) for s in d["steps"])})


def _duration_document(d: Duration) -> Document:
    return {
        "median": d.median,
        "mean": d.mean,
        "cautious": d.cautious,
        "source": d.source,
        "group": d.group,
        "runs": d.runs,
    }


def _membership_document(m: Membership) -> Document:
    return {"index": m.index, "width": m.width, "in_order": m.in_order}


_ENCODERS: dict[str, Callable[[Any], Any]] = {
    "resources": vector_document,
    "priority": str,
    "effective_priority": str,
    "dependency_type": str,
    "paused_from": str,
    "steps": lambda steps: [_step_document(s) for s in steps],
    "attempts": lambda attempts: [attempt_document(a) for a in attempts],
    "retry_policy": _retry_document,
    "control": _control_document,
    "error": _error_document,
    "progress": progress_document,
    "expected": _duration_document,
    "sizing": sizing_document,
    "membership": _membership_document,
    "dependencies": list,
    "tags": list,
    "limits": list,
    "gpu_indices": list,
    "secrets": list,
    "asked": lambda asked: [{"seq": a.seq, "paths": list(a.paths)} for a in asked],
}
"""How each attribute that is not stored as it is becomes part of a document; None stays None."""
_encoded_values = attrgetter(*_ENCODERS)


def field_document(name: str, value: Any) -> Any:
    """The stored form of one attribute of Job. Raises KeyError for what is none."""
    encode = None if name in _PLAIN else _ENCODERS[name]
    return value if encode is None or value is None else encode(value)


def job_document(job: Job) -> Document:
    """The whole document of a job."""
    document: Document = {"_id": job.id, "status": str(job.status)}
    document.update(zip(PLAIN, _plain_values(job), strict=True))
    for (name, encode), value in zip(_ENCODERS.items(), _encoded_values(job), strict=True):
        document[name] = None if value is None else encode(value)
    document["history"] = [entry_document(e) for e in job.history]
    document["last"] = document["history"][-1] | {name: document[name] for name in SUBJECT}
    document.update(search_fields(job.name, job.tags, job.parameters, job.secrets))
    document["deadline"] = job.deadline
    return document


def job_from(d: Mapping[str, Any]) -> Job:
    """The job of a document."""
    d = {**LATER, **d}
    return Job(
        id=d["_id"],
        status=JobStatus(d["status"]),
        steps=tuple(_step_from(s) for s in d["steps"]),
        resources=vector_from(d["resources"]),
        priority=Priority(d["priority"]),
        effective_priority=Priority(d["effective_priority"]),
        retry_policy=_retry_from(d["retry_policy"]),
        history=tuple(entry_from(e) for e in d["history"]),
        dependencies=tuple(d["dependencies"]),
        dependency_type=DependencyType(d["dependency_type"]),
        tags=tuple(d["tags"]),
        limits=tuple(d["limits"]),
        gpu_indices=tuple(d["gpu_indices"]),
        secrets=tuple(d["secrets"]),
        asked=tuple(Asked(a["seq"], tuple(a["paths"])) for a in d["asked"]),
        paused_from=None if d["paused_from"] is None else JobStatus(d["paused_from"]),
        control=None if d["control"] is None else Control(**d["control"]),
        error=None if d["error"] is None else JobError(**(d["error"] | {"log_tail": tuple(d["error"]["log_tail"])})),
        attempts=tuple(attempt_from(a) for a in d["attempts"]),
        progress=None if d["progress"] is None else _progress_from(d["progress"]),
        expected=None if d["expected"] is None else Duration(**d["expected"]),
        sizing=None if d["sizing"] is None else sizing_from(d["sizing"]),
        membership=None if d["membership"] is None else Membership(**d["membership"]),
        **{name: d[name] for name in PLAIN},
    )


def change_update(change: Change, subject: Mapping[str, Any]) -> Document:
    """The update of a change: `subject` is that of the job it was decided on.

    A change of `parameters` names `secrets` too, since no job may be found by what is secret.
    """
    fields = {name: field_document(name, value) for name, value in change.fields.items()}
    entry = entry_document(change.entry)
    last = {**entry, **subject, **{name: fields[name] for name in SUBJECT if name in fields}}
    if "queue_deadline" in fields:  # it is only ever dropped
        fields["deadline"] = None
    if "parameters" in fields and subject:
        given = change.fields
        fields |= search_fields(subject["name"], subject["tags"], given["parameters"], given["secrets"])
    fields |= {"status": change.entry.to.value, "seq": change.entry.seq, "last": last}
    return {"$set": fields, "$push": {"history": entry}}
