"""What subscribers are told. An event is a type, its data, and where it comes from; delivery adds the id.

Types: job.state, job.progress, job.queue, log.line, batch.state, workflow.state, workflow.step, node.state,
stream.open, resync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.json import Json

EVENT_TYPES = (
    "job.state",
    "job.progress",
    "job.queue",
    "log.line",
    "batch.state",
    "workflow.state",
    "workflow.step",
    "node.state",
    "stream.open",
    "resync",
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `token`: the change stream's, opaque; `subject`: ids and tags to filter by."""

    type: str
    data: Mapping[str, Json]
    token: str | None = None
    subject: Mapping[str, Json] = field(default_factory=dict)

    def at(self, token: str) -> Event:
        """The same with its place in the change stream."""
        return Event(self.type, self.data, token, self.subject)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a subscriber wants; empty means everything. All given criteria must hold."""

    types: frozenset[str] = frozenset()
    status: frozenset[str] = frozenset()
    job_id: str | None = None
    workflow_id: str | None = None
    batch_id: str | None = None
    tag: str | None = None

    def wants(self, event: Event) -> bool:
        """Whether the subscriber is to be told."""
        if event.type in {"stream.open", "resync"}:
            return True
        if self.types and event.type not in self.types:
            return False
        if self.status and event.data.get("to") not in self.status:
            return False
        subject = event.subject
        return (
            (self.job_id is None or subject.get("job_id") == self.job_id)
            and (self.workflow_id is None or subject.get("workflow_id") == self.workflow_id)
            and (self.batch_id is None or subject.get("batch_id") == self.batch_id)
            and (self.tag is None or self.tag in (subject.get("tags") or ()))
        )
