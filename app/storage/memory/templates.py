"""Templates in memory, beside the built-in ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from app.domain.builtin_templates import builtin_layers, builtin_templates
from app.domain.layers import Layer
from app.domain.templates import Template, TemplateDraft


class MemoryTemplateStore:
    """`TemplateStore`."""

    def __init__(self) -> None:
        self._stored: dict[str, dict[int, Template]] = {}
        self._layers: dict[tuple[str, int], Layer] = {}

    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        versions = self._versions(template_id)
        return versions.get(max(versions, default=0) if version is None else version)

    def _versions(self, template_id: str) -> dict[int, Template]:
        built_in = builtin_templates().get(template_id)
        return self._stored.get(template_id, {}) if built_in is None else {built_in.version: built_in}

    async def layer(self, template_id: str, version: int) -> Layer | None:
        built_in = builtin_layers().get(template_id)
        known = self._layers.get((template_id, version)) if built_in is None else built_in
        return known if known is not None and known.version == version else None

    async def versions(self, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        versions = self._versions(template_id)
        wanted = sorted((v for v in versions if before is None or v < before), reverse=True)
        return [versions[v] for v in wanted[:limit]]

    async def page(self, limit: int, after: str = "", *, archived: bool = False) -> list[Template]:
        newest = [versions[max(versions)] for versions in self._stored.values()]
        all_of_them = sorted((*builtin_templates().values(), *newest), key=lambda t: t.id)
        return [t for t in all_of_them if t.id > after and (archived or t.archived_at is None)][:limit]

    async def ids(self, limit: int) -> list[str]:
        found = [t.id for t in await self.page(len(self._stored) + len(builtin_templates()))]
        return [*builtin_templates(), *[i for i in found if i not in builtin_templates()][:limit]]

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        if template.id in builtin_templates() or draft.id != template.id:
            return False
        there = self._stored.setdefault(template.id, {}).setdefault(template.version, template)
        self._layers.setdefault((template.id, template.version), Layer(template.id, template.version, draft))
        return replace(there, archived_at=None) == template

    async def archive(self, template_id: str, version: int, at: datetime) -> None:
        versions = self._stored.get(template_id, {})
        if version in versions and versions[version].archived_at is None:
            versions[version] = replace(versions[version], archived_at=at)
