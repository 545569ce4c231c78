"""Templates in MongoDB, beside the built-in ones, which are code and never stored.

    {_id: "{id}:{version}", id, version, title, …, draft: {…}}

A version is written once. The draft, the layer as it was written, stays beside the merged template, so that later it
can be told which layer a value came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.builtin_templates import builtin_templates
from app.domain.templates import Parameter, Step, Template, TemplateDraft
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

_PARAMETER = tuple(f.name for f in fields(Parameter))
_STEP = tuple(f.name for f in fields(Step))
_TEMPLATE = tuple(f.name for f in fields(Template) if f.init)
_LATER = ("limits", "stated")
"""Names that documents of earlier versions lack."""
_DRAFT = tuple(f.name for f in fields(TemplateDraft))


def template_document(draft: TemplateDraft, template: Template) -> Document:
    """The document of one version."""
    return {"_id": f"{template.id}:{template.version}", **_layer(template, _TEMPLATE), "draft": _layer(draft, _DRAFT)}


def _layer(layer: Template | TemplateDraft, names: tuple[str, ...]) -> Document:
    document = {name: getattr(layer, name) for name in names}
    document["parameters"] = [{name: getattr(p, name) for name in _PARAMETER} for p in layer.parameters]
    if layer.execution_steps is not None:
        document["execution_steps"] = [{name: getattr(s, name) for name in _STEP} for s in layer.execution_steps]
    return document


def template_from(document: Mapping[str, Any]) -> Template:
    """The template of a document. Raises for one that cannot be read."""
    if not isinstance(document["id"], str):
        raise TypeError(f"id is {document['id']!r}")
    plain = {name: document[name] for name in _TEMPLATE if name not in _LATER}
    return Template(
        **plain
        | {
            "parameters": tuple(_parameter(p) for p in document["parameters"]),
            "execution_steps": tuple(_step(s) for s in document["execution_steps"]),
            **{name: tuple(document.get(name, ())) for name in _LATER},
        }
    )


def _parameter(d: Mapping[str, Any]) -> Parameter:
    return Parameter(**{**d, "options": _optional_tuple(d["options"]), "aliases": tuple(d["aliases"])})


def _step(d: Mapping[str, Any]) -> Step:
    return Step(**{**d, "command": _optional_tuple(d["command"])})


def _optional_tuple(value: list[Any] | None) -> tuple[Any, ...] | None:
    return None if value is None else tuple(value)


class MongoTemplateStore:
    """`TemplateStore` over the collection `templates` and the built-in templates."""

    def __init__(self, database: Database, patience: float = PATIENCE, *, quarantine: Quarantine | None = None) -> None:
        self._reading = Reading("template", quarantine)
        self._database, self._patience = database, patience
        self._templates = database["templates"]

    async def get(self, template_id: str, version: int | None = None) -> Template | None:
        if built_in := builtin_templates().get(template_id):
            return built_in if version in (None, built_in.version) else None
        # `;` follows `:`, so the range holds all versions of this id and nothing else.
        versions = {"$gte": f"{template_id}:", "$lt": f"{template_id};"}
        wanted: Document = {"_id": versions if version is None else f"{template_id}:{version}"}
        with answered():
            found = await self._templates.find(wanted).sort([("version", -1)]).limit(1).to_list(None)
        return next(iter(await self._reading.each(found, template_from)), None)

    async def all(self) -> list[Template]:
        newest: list[Document] = [
            {"$sort": {"id": 1, "version": -1}},
            {"$group": {"_id": "$id", "newest": {"$first": "$$ROOT"}}},
            {"$replaceRoot": {"newRoot": "$newest"}},
        ]
        with answered():
            documents = [d async for d in self._database.aggregate("templates", newest)]
        stored = await self._reading.each(documents, template_from)
        return sorted((*builtin_templates().values(), *stored), key=lambda t: t.id)

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        """See the port. Sent again after a lost answer it meets itself, which counts as inserted."""
        if template.id in builtin_templates():
            return False
        document = template_document(draft, template)
        try:
            await until_answered(lambda: self._templates.insert_one(document), self._patience)
        except DuplicateKeyError:
            return await self.get(template.id, template.version) == template
        return True
