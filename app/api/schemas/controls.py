"""What users ask of jobs and nodes, and what they are answered. Every body may be left out."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.api.schemas.base import Flag, Incoming, Moment, Outgoing, given
from app.api.schemas.job_requests import ResourceRequest
from app.api.schemas.jobs import Job
from app.domain.errors import FieldError, Invalid
from app.domain.job import DependencyType
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.records import JobQuery
from app.domain.specification import MAX_DEPENDENCIES
from app.domain.states import TERMINAL, JobStatus
from app.operations.retry import RetryChanges


class Reasoned(Incoming):
    """A control with its reason."""

    reason: str | None = Field(None, max_length=500, description="Why; it stands in the history.")


class JobCancel(Reasoned):
    """Why a job is cancelled. The body may be left out."""


class JobPause(Reasoned):
    """How a job is paused, and why. The body may be left out."""

    release: Flag = Field(
        False,
        description="Give the resources back: the run leaves a checkpoint if it can, and ends; a resume queues it.",
    )


class JobResume(Reasoned):
    """Why a job is resumed. The body may be left out."""


class JobPriority(Reasoned):
    """The class that is asked for, and why."""

    priority: Priority


class JobRetry(Reasoned):
    """What shall be different in the next attempt. The body may be left out: then nothing is."""

    parameters: dict[str, Json] = Field({}, description="Laid over the job's own: objects merge, lists replace.")
    resources: ResourceRequest | None = Field(None, description="Laid over the job's own.")
    priority: Priority | None = None

    def to_changes(self) -> RetryChanges:
        """The use-case's value."""
        asked = given(self.resources) if self.resources else {}
        return RetryChanges(self.parameters, asked, self.priority)


class JobDependencies(Reasoned):
    """Jobs that must end first, beside those that the job names already."""

    depends_on: list[str] = Field(min_length=1, max_length=MAX_DEPENDENCIES, description="Ids of jobs.")
    dependency_type: DependencyType | None = Field(
        None, description="Of all its dependencies from now on; left out, it stays as it is."
    )


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _filters(value: Any) -> bool:
    """Whether it leaves any job out: an empty list and a blank text do not."""
    return bool(value.strip()) if isinstance(value, str) else value is not None and value != []


class JobsCancel(Reasoned):
    """Which jobs are cancelled: those that match all filters given, of which there must be one at least."""

    status: Annotated[
        list[JobStatus] | None,
        BeforeValidator(_several),
        Field(description="Any of these states, or one as text. Left out: every state that a job can be cancelled in."),
    ] = None
    template: str | None = Field(None, max_length=63)
    algorithm: str | None = Field(None, max_length=100)
    tag: str | None = Field(None, max_length=200)
    priority: Priority | None = None
    batch_id: str | None = Field(None, max_length=64)
    workflow_id: str | None = Field(None, max_length=64)
    q: str | None = Field(None, max_length=200, description="Words to find in name and tags.")
    submitted_after: Moment | None = None
    submitted_before: Moment | None = None
    dry_run: Flag = Field(False, description="Count what would be done, and do nothing.")

    def to_query(self) -> JobQuery:
        """The query. Raises Invalid without any filter, and for states that a job cannot be cancelled in."""
        names = [name for name in type(self).model_fields if name not in {"reason", "dry_run"}]
        if not any(_filters(getattr(self, name)) for name in names):
            message = f"name at least one filter of {', '.join(names)}: without any, every job would be cancelled"
            raise Invalid.one("", message)
        status = self.status or ()
        if ended := [n for n, s in enumerate(status) if s in TERMINAL and s is not JobStatus.CANCELLED]:
            message = "a job in this state has ended and cannot be cancelled; leave it out"
            raise Invalid(FieldError(f"status[{n}]", message) for n in ended)
        return JobQuery(
            status=frozenset(status),
            template=self.template,
            algorithm=self.algorithm,
            tag=self.tag,
            priority=self.priority,
            batch_id=self.batch_id,
            workflow_id=self.workflow_id,
            text=self.q,
            submitted_after=self.submitted_after,
            submitted_before=self.submitted_before,
        )


class NodeDrain(Reasoned):
    """Why a node is drained. The body may be left out."""


class NodeResume(Reasoned):
    """Why a node takes work again. The body may be left out."""


class JobControlled(Job):
    """The whole job, and what the control does to it."""

    message: str = Field(description="What happens now, for people.")


class JobsCancelled(Outgoing):
    """What became of the jobs that matched: the counts add up to `matched`."""

    matched: int
    cancelled: int = Field(description="Are CANCELLED.")
    requested: int = Field(description="Run: their nodes are told, and they are CANCELLED when nothing of them lives.")
    already_cancelled: int = Field(description="Were cancelled, or being cancelled, before.")
    failed: int = Field(description="Ended otherwise meanwhile, or cannot be changed any more.")
    dry_run: bool = Field(description="Nothing was done: the counts tell what would be.")
