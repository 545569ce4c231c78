"""Jobs as they are asked for."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from app.api.schemas.base import Flag, Incoming, Moment, Number, Whole, given
from app.api.schemas.jobs import Backoff
from app.domain.job import DependencyType
from app.domain.json import Json
from app.domain.priority import Priority
from app.domain.specification import DEFAULT_TENANT, JobRequest


class ResourceRequest(Incoming):
    """What a job needs on one node. What is left out comes from the template. Without any of it the job is sized."""

    cpu_cores: Number | None = Field(None, description="Cores; fractions are allowed.")
    memory_gb: Number | None = Field(None, description="Memory in GB (1,024 MiB); fractions are allowed.")
    gpu_count: Number | None = Field(None, description="Whole GPUs.")
    storage_gb: Number | None = Field(None, description="Storage in whole GB.")


class RetryPolicyRequest(Incoming):
    """When a failed run is followed by another. What is left out comes from the template, then from the settings."""

    max_attempts: Whole | None = Field(None, description="All attempts, the first included.")
    retry_delay: Number | None = Field(None, description="Seconds before the second attempt.")
    backoff: Backoff | None = None
    max_delay: Number | None = Field(None, description="Longest delay in seconds.")
    jitter: Number | None = Field(None, description="Share by which a delay is spread, 0 to 1.")
    retry_on: list[str] | None = Field(None, description="Any of error, timeout, worker_lost, out_of_memory.")
    memory_growth: Number | None = Field(None, description="Factor for memory_gb after out_of_memory, 1 to 10; 1 off.")


def _kind(value: Any) -> str:
    return "auto" if isinstance(value, str) else "vector"


def _auto(value: Any) -> Any:
    if value != "auto":
        raise ValueError('must be "auto", or an object such as {"cpu_cores": 4, "memory_gb": 8}')
    return value


ResourceChoice = Annotated[
    Annotated[ResourceRequest, Tag("vector")] | Annotated[Literal["auto"], BeforeValidator(_auto), Tag("auto")],
    Discriminator(_kind),
]


class JobCreate(Incoming):
    """A job to run. Only `template` is required, and what the template itself requires."""

    template: str = Field(description="Id of a template; GET /api/v1/templates lists them.", max_length=63)
    parameters: dict[str, Json] = Field(
        {}, description="Values for the template's parameters; unknown names are refused."
    )
    name: str | None = Field(None, description="A name; without one the job is named after what it does.")
    priority: Priority = Priority.NORMAL
    resources: ResourceChoice = Field("auto", description="What it needs on one node; `auto`: sized from runs like it.")
    dependencies: list[str] = Field(default_factory=list, description="Ids of jobs that must end first.")
    dependency_type: DependencyType = DependencyType.ALL_COMPLETE
    retry_policy: RetryPolicyRequest | None = None
    tags: list[str] = Field(default_factory=list)
    metadata: dict[str, Json] = Field(default_factory=dict, description="Kept and answered, never read by the service.")
    timeout: Number | None = Field(None, description="Time limit over all steps, in seconds.")
    start_after: Moment | None = Field(None, description="Not before this moment.")
    queue_deadline: Number | None = Field(None, description="Seconds after submission within which it must start.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that the node must carry.")
    prefer: dict[str, str] = Field(default_factory=dict, description="Labels of nodes that it would like best.")
    preemptible: Flag = Field(False, description="May be stopped for more urgent work.")
    executor: str | None = Field(None, description="`process`, or `inline` for light steps; the template's by default.")
    limits: list[str] = Field(default_factory=list, description="Named concurrency limits that it takes a place in.")

    def to_request(self, tenant: str = DEFAULT_TENANT) -> JobRequest:
        """The domain's request."""
        return JobRequest(
            template=self.template,
            parameters=self.parameters,
            name=self.name,
            priority=self.priority,
            resources=None if isinstance(self.resources, str) else given(self.resources),
            dependencies=tuple(dict.fromkeys(self.dependencies)),
            dependency_type=self.dependency_type,
            retry_policy=given(self.retry_policy) if self.retry_policy else {},
            tags=tuple(self.tags),
            metadata=self.metadata,
            timeout=self.timeout,
            start_after=self.start_after,
            queue_deadline=self.queue_deadline,
            node_selector=self.node_selector,
            prefer=self.prefer,
            preemptible=self.preemptible,
            executor=self.executor,
            limits=tuple(dict.fromkeys(self.limits)),
            tenant=tenant,
        )


class JobSort(StrEnum):
    """The order of a listing by submission time."""

    NEWEST_FIRST = "-submitted_at"
    OLDEST_FIRST = "submitted_at"
