"""Templates and data sets as they are created and answered."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Flag, Incoming, Number, Outgoing, Timestamp, given, open_enum, refuse
from app.api.schemas.job_requests import ResourceRequest, RetryPolicyRequest
from app.api.schemas.sizing import Resources
from app.domain.json import Json
from app.domain.templates import Parameter, Step, TemplateDraft

PARAMETER_TYPE = Field(description="string, integer, number, boolean, object, array or secret.")


class ParameterCreate(Incoming):
    """A typed parameter of a template."""

    name: str = Field(min_length=1, max_length=100)
    type: Annotated[str, PARAMETER_TYPE]
    required: Flag = False
    default: Json = None
    options: list[Json] | None = None
    minimum: Number | None = None
    maximum: Number | None = None
    pattern: str | None = Field(None, max_length=500)
    description: str = Field("", max_length=2_000)
    aliases: list[str] = Field(default_factory=list)

    def to_parameter(self) -> Parameter:
        """The domain's parameter."""
        fields = self.model_dump()
        options = None if self.options is None else tuple(self.options)
        return Parameter(**{**fields, "options": options, "aliases": tuple(self.aliases)})


class StepCreate(Incoming):
    """An execution step: a built-in step or a function by name, or a command as an argument list."""

    step: str = Field(min_length=1, max_length=63)
    timeout: Number | None = Field(None, gt=0, description="Seconds.")
    command: list[str] | None = Field(None, description="An argument list, never a shell line.")
    env: dict[str, str] = Field(default_factory=dict)

    def to_step(self) -> Step:
        """The domain's step."""
        return Step(self.step, self.timeout, None if self.command is None else tuple(self.command), self.env)


class TemplateFields(Incoming):
    """A whole template, or with `base_template` one that inherits."""

    name: str | None = Field(None, description="Becomes the id: a-z, 0-9, _ and -, at most 63.", max_length=63)
    title: str | None = Field(None, description="Display name.", max_length=200)
    description: str | None = Field(None, max_length=5_000)
    category: str | None = Field(None, max_length=100)
    base_template: str | None = Field(None, max_length=63)
    base_version: int | None = Field(None, description="Version of the base; the newest by default.", ge=1, le=2**31)
    parameters: list[ParameterCreate] = Field(default_factory=list)
    default_parameters: dict[str, Json] = Field(default_factory=dict)
    custom_parameters: dict[str, Json] = Field(
        default_factory=dict, description="Defaults that override the base's, or add new names."
    )
    resource_requirements: ResourceRequest | None = None
    execution_steps: list[StepCreate] | None = None
    executor: str | None = None
    retry_policy: RetryPolicyRequest | None = None
    timeout: Number | None = Field(None, gt=0, description="Time limit over all steps, in seconds.")
    resume: str | None = Field(None, description="`completed_steps`: steps that completed are not run again.")
    limits: list[str] = Field(
        default_factory=list, description="Named concurrency limits that its jobs take a place in."
    )

    def draft(self, template_id: str) -> TemplateDraft:
        """The domain's draft of the template with this id."""
        steps = self.execution_steps
        return TemplateDraft(
            id=template_id,
            title=self.title,
            description=self.description,
            category=self.category,
            base_template=self.base_template,
            base_version=self.base_version,
            parameters=tuple(p.to_parameter() for p in self.parameters),
            default_parameters=self.default_parameters,
            custom_parameters=self.custom_parameters,
            resource_requirements=given(self.resource_requirements) if self.resource_requirements else {},
            execution_steps=None if steps is None else tuple(s.to_step() for s in steps),
            executor=self.executor,
            retry_policy=given(self.retry_policy) if self.retry_policy else {},
            timeout=self.timeout,
            resume=self.resume,
            limits=tuple(dict.fromkeys(self.limits)),
        )


class TemplateCreate(TemplateFields):
    """A template as it stands, or inside `job_template`."""

    job_template: TemplateFields | None = Field(None, description="The template, when the other fields are left out.")

    @property
    def place(self) -> str:
        """Where in the body the template stands."""
        return "" if self.job_template is None else "job_template."

    def to_draft(self, template_id: str | None = None) -> TemplateDraft:
        """The domain's draft. `template_id`: that of the template it is for, which the body need not repeat. Raises
        Invalid when both forms are mixed, or the name is missing or another."""
        inner = self.job_template or self
        beside = sorted(self.model_fields_set - {"job_template"}) if self.job_template else []
        if beside:
            raise refuse(beside[0], "stands beside job_template; put every field inside it, or leave job_template out")
        if inner.name is None and template_id is None:
            raise refuse(f"{self.place}name", "is required")
        if template_id is not None and inner.name not in {None, template_id}:
            message = f"must be {template_id}, as in the path, or be left out; POST a template of another name"
            raise refuse(f"{self.place}name", message)
        return inner.draft(template_id or inner.name or "")


class TemplateParameter(Outgoing):
    """A parameter that the template knows. A secret's default is never shown."""

    name: str
    type: Annotated[str, PARAMETER_TYPE]
    required: bool
    default: Any
    options: list[Any] | None
    minimum: float | None
    maximum: float | None
    pattern: str | None
    description: str
    aliases: list[str]


class TemplateStep(Outgoing):
    """An execution step with its time limit in seconds."""

    step: str
    timeout: float | None
    command: list[str] | None
    env: dict[str, str]


class Template(Outgoing):
    """A template at one version, all layers merged."""

    id: str
    name: str = Field(description="Display name.")
    description: str
    category: str
    version: int
    built_in: bool
    base_template: str | None
    base_version: int | None
    parameters: list[TemplateParameter]
    default_parameters: dict[str, Any]
    resource_requirements: Resources
    execution_steps: list[TemplateStep]
    executor: str
    retry_policy: dict[str, Any] = Field(description="What it sets; the settings fill in the rest.")
    timeout: float | None
    resume: str | None
    limits: list[str]
    created_at: Timestamp | None
    archived_at: Timestamp | None = Field(description="Since when no new job or template may name it.")


class TemplateList(Outgoing):
    """The newest version of every template, by id."""

    templates: list[Template]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class TemplateVersion(Outgoing):
    """One version, in short."""

    version: int
    name: str = Field(description="Display name.")
    description: str
    base_template: str | None
    base_version: int | None
    created_at: Timestamp | None
    archived_at: Timestamp | None


class TemplateVersionList(Outgoing):
    """Versions of a template, the newest first."""

    id: str
    versions: list[TemplateVersion]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class TemplateChange(Outgoing):
    """A place in which two versions differ. What only one has is told whole, once."""

    path: str
    kind: Annotated[str, open_enum("added", "removed", "changed")]
    before: Any
    after: Any


class TemplateDiff(Outgoing):
    """What the version `to` has otherwise than the version `from`; both whole, with all their layers."""

    id: str
    source: int = Field(alias="from")
    to: int
    changes: list[TemplateChange]


class DatasetCreate(Incoming):
    """A name for a file below the data root."""

    name: str = Field(description="a-z, 0-9, _ and -, at most 63.", max_length=63)
    path: str = Field(description="A CSV or Parquet file, relative to the data root.")
    description: str = Field("", max_length=5_000)
    target_column: str | None = Field(
        None, description="Predicted when a job names no other; else the last column.", max_length=255
    )


class Dataset(Outgoing):
    """A data set that jobs may name. What only the file knows is null where the file was not here when it was
    registered; the rows of a large one are estimated."""

    name: str
    kind: Annotated[str, open_enum("built_in", "registered")]
    path: str | None
    description: str
    target_column: str | None
    rows: int | None
    features: int | None
    task: str | None
    registered_at: Timestamp | None


class DatasetRegistered(Dataset):
    """The data set, and whether its file is here. It need not be: the nodes read it."""

    message: str


class DatasetList(Outgoing):
    """Built-in data sets, then registered ones."""

    datasets: list[Dataset]
