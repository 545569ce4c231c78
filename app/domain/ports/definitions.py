"""What users define, as protocols: templates, secrets, data sets, and the names of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from app.domain.layers import Layer
from app.domain.records import Dataset
from app.domain.secrets import Sealed
from app.domain.templates import Template, TemplateDraft


class TemplateStore(Protocol):
    """Templates by version, the built-in ones among them. Versions are written once."""

    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        """That version, else the newest, be it archived or not."""

    async def layer(self, template_id: str, version: int) -> Layer | None:
        """What that version says itself."""

    async def versions(self, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        """Versions below `before`, the newest first."""

    async def page(self, limit: int, after: str = "", *, archived: bool = False) -> list[Template]:
        """The newest version of each, by id, beyond the id `after`; with `archived`, those that are archived, too."""

    async def ids(self, limit: int) -> list[str]:
        """Ids that a new job may name: the built-in ones, and at most `limit` others."""

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        """False when this id and version exist."""

    async def archive(self, template_id: str, version: int, at: datetime) -> None:
        """Note on that version that the template is archived, unless it says so already."""


class SecretStore(Protocol):
    """Secrets of jobs, workflows and schedules, apart from them. What is sealed is never changed."""

    async def put(self, sealed: Sealed) -> None:
        """Durable when it returns. Putting the same again is nothing."""

    async def get(self, sealed_id: str) -> Mapping[str, str] | None:
        """The values by name; None when it is not there."""

    async def delete(self, sealed_ids: Iterable[str]) -> None: ...

    async def delete_of(self, owners: Sequence[str]) -> None:
        """Everything of these."""

    async def older(self, before: datetime, after: str, limit: int) -> list[tuple[str, str]]:
        """Sealed before that moment, as (id, owner), by id from beyond `after` on."""


class DatasetStore(Protocol):
    async def get(self, name: str) -> Dataset | None: ...

    async def all(self) -> list[Dataset]: ...

    async def insert(self, dataset: Dataset) -> bool:
        """False when the name is taken."""

    async def delete(self, name: str) -> bool: ...


class NameRegister(Protocol):
    async def claim(self, base: str) -> int:
        """1 for the first job with this base name, then 2, 3, …"""

    async def claim_many(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """So many numbers for each of these base names: the first of them, the others follow it."""
