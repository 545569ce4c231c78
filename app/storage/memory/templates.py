"""Templates in memory, beside the built-in ones."""

from __future__ import annotations

from app.domain.builtin_templates import builtin_templates
from app.domain.templates import Template, TemplateDraft


class MemoryTemplateStore:
    """`TemplateStore`."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, int], Template] = {}

    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        if built_in := builtin_templates().get(template_id):
            return built_in if version in (None, built_in.version) else None
        versions = {v: t for (i, v), t in self._stored.items() if i == template_id}
        return versions.get(max(versions, default=0) if version is None else version)

    async def all(self) -> list[Template]:
        newest = {i: t for (i, _), t in sorted(self._stored.items(), key=lambda item: item[0])}
        return sorted((*builtin_templates().values(), *newest.values()), key=lambda t: t.id)

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        if template.id in builtin_templates() or draft.id != template.id:
            return False
        return self._stored.setdefault((template.id, template.version), template) == template
