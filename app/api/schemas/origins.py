"""Which layer gave each value, as it is answered: of templates and of jobs."""

from typing import Annotated, Any

from pydantic import Field

from app.api.schemas.base import Outgoing, open_enum
from app.domain.origins import Source


class HiddenValue(Outgoing):
    """What a layer further down says at the same place."""

    layer: str
    value: Any


class ValueOrigin(Outgoing):
    """A value, and what gave it. A list is one value, and so is the declaration of a parameter."""

    path: str
    value: Any
    source: Annotated[str, open_enum(*Source)]
    layer: str | None = Field(description="`{template id}@{version}` where a template gave it.")
    step: str | None = Field(description="The built-in step that declares it.")
    seq: int | None = Field(description="The entry of the job's history in which a user gave it.")
    setting: str | None = Field(description="The variable of the service's environment that it comes from.")
    hidden: list[HiddenValue] = Field(description="What it stands over, from the top down.")


class TemplateExplanation(Outgoing):
    """A template as a stack of layers, and which of them gave each value."""

    id: str
    version: int
    layers: list[str] = Field(description="`{template id}@{version}`: its own, then its base's, and so on down.")
    values: list[ValueOrigin]


class JobOrigins(Outgoing):
    """Which of request, template and service gave each value of a job. Secrets read `***`."""

    job_id: str
    template: str
    template_version: int
    layers: list[str] = Field(description="`{template id}@{version}`: the pinned one, then its base, and so on down.")
    values: list[ValueOrigin]
