"""Templates in MongoDB, beside the built-in ones, which are code and never stored.

    {_id: "{id}:{version}", id, version, title, …, archived_at, draft: {…}}

A version is written once; only that it is archived is noted on it later. A template is archived when its newest version
is, so that a new version brings it back, whoever comes first. The draft, the layer as it was written, stays beside the
merged template: from it is told which layer a value came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from app.domain.builtin_templates import builtin_layers, builtin_templates
from app.domain.layers import Layer
from app.domain.templates import Parameter, Step, Template, TemplateDraft
from app.quarantine import Quarantine
from app.storage.failures import PATIENCE, answered, not_storable, unstorable, until_answered
from app.storage.mongo import Database, Document
from app.storage.quarantine import Reading

_PARAMETER = tuple(f.name for f in fields(Parameter))
_STEP = tuple(f.name for f in fields(Step))
_TEMPLATE = tuple(f.name for f in fields(Template) if f.init)
_LATER = ("limits", "archived_at", "stated")
"""What a document lacks that was stored before there was such a field."""
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
            "limits": tuple(document.get("limits", ())),
            "archived_at": document.get("archived_at"),
            "stated": tuple(document.get("stated", ())),
        }
    )


def _layer_from(document: Mapping[str, Any]) -> Layer:
    said = {name: document["draft"].get(name) for name in _DRAFT}
    steps = said["execution_steps"]
    draft = TemplateDraft(
        **said
        | {
            "parameters": tuple(_parameter(p) for p in said["parameters"]),
            "execution_steps": None if steps is None else tuple(_step(s) for s in steps),
            "limits": tuple(said["limits"] or ()),
        }
    )
    return Layer(document["id"], document["version"], draft)


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
        documents = await self._newest_first(template_id, version, 1)
        return next(iter(await self._reading.each(documents, template_from)), None)

    async def layer(self, template_id: str, version: int) -> Layer | None:
        if built_in := builtin_layers().get(template_id):
            return built_in if version == built_in.version else None
        documents = await self._newest_first(template_id, version, 1)
        return next(iter(await self._reading.each(documents, _layer_from)), None)

    async def versions(self, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        if built_in := builtin_templates().get(template_id):
            return [built_in] if before is None or built_in.version < before else []
        documents = await self._newest_first(template_id, None if before is None else {"$lt": before}, limit)
        return await self._reading.each(documents, template_from)

    async def _newest_first(self, template_id: str, version: int | Document | None, limit: int) -> list[Document]:
        wanted: Document = {"id": template_id} if version is None else {"id": template_id, "version": version}
        with answered():
            return await self._templates.find(wanted).sort([("version", -1)]).limit(limit).to_list(None)

    async def page(self, limit: int, after: str = "", *, archived: bool = False) -> list[Template]:
        stored: list[Template] = []
        place, more = after, True
        while more and len(stored) < limit:
            documents = await self._newest(place, limit - len(stored), archived=archived)
            more = len(documents) == limit - len(stored)
            place = documents[-1]["id"] if documents else place
            stored += await self._reading.each(documents, template_from)
        built_in = [template for template in builtin_templates().values() if template.id > after]
        return sorted((*built_in, *stored), key=lambda t: t.id)[:limit]

    async def ids(self, limit: int) -> list[str]:
        with answered():
            rows = [row async for row in self._database.aggregate("templates", _newest_of_each("", limit))]
        return [*builtin_templates(), *(row["_id"] for row in rows)]

    async def _newest(self, after: str, limit: int, *, archived: bool) -> list[Document]:
        """The newest version of each id beyond `after`, by id."""
        with answered():
            rows = self._database.aggregate("templates", _newest_of_each(after, limit, archived=archived))
            wanted = [row["newest"] async for row in rows]
            return await self._templates.find({"_id": {"$in": wanted}}).sort([("id", 1)]).to_list(None)

    async def insert(self, draft: TemplateDraft, template: Template) -> bool:
        """See the port. Sent again after a lost answer it meets itself, which counts as inserted."""
        if template.id in builtin_templates():
            return False
        document = template_document(draft, template)
        try:
            await until_answered(lambda: self._templates.insert_one(document), self._patience)
        except DuplicateKeyError:
            there = await self.get(template.id, template.version)
            return there is not None and replace(there, archived_at=None) == template
        except Exception as error:
            if unstorable(error):
                raise not_storable(error) from error
            raise
        return True

    async def archive(self, template_id: str, version: int, at: datetime) -> None:
        found = {"_id": f"{template_id}:{version}", "archived_at": None}
        update = {"$set": {"archived_at": at}}
        await until_answered(lambda: self._templates.update_one(found, update), self._patience)


def _newest_of_each(after: str, limit: int, *, archived: bool = False) -> list[Document]:
    """The `_id` of the newest version of each id beyond `after`, by id."""
    return [
        {"$match": {"id": {"$gt": after}}},
        {"$sort": {"id": 1, "version": -1}},
        {"$group": {"_id": "$id", "newest": {"$first": "$_id"}, "archived_at": {"$first": "$archived_at"}}},
        *([] if archived else [{"$match": {"archived_at": None}}]),
        {"$sort": {"_id": 1}},
        {"$limit": limit},
    ]
