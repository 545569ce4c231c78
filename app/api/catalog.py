"""Register data sets, over ports: what must hold before one is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from app.domain.datasets import BUILT_IN, TABLE_SUFFIXES, check_reference
from app.domain.errors import AlreadyExists, BadDataset, Conflict, Invalid, NotFound
from app.domain.ids import NAME_RULE, is_name_id
from app.domain.nearest import nearest_name
from app.domain.records import Dataset
from app.services import Services
from app.storage.tables import table_facts


async def register_dataset(services: Services, dataset: Dataset) -> Dataset:
    """Store a name for a file below the data root, with what the file says of itself where it is here. The file itself
    is read by the job that names it."""
    if not is_name_id(dataset.name):
        raise Invalid.one("name", NAME_RULE)
    if dataset.name in BUILT_IN:
        raise AlreadyExists("data set", dataset.name, "it is built in; choose another name", "built_in")
    try:
        check_reference(dataset.path)
    except BadDataset as bad:
        raise BadDataset(bad.errors[0].message, "path") from None
    if not dataset.path.lower().endswith(TABLE_SUFFIXES):
        raise BadDataset(f"must be a file that ends in {' or '.join(TABLE_SUFFIXES)}", "path")
    facts = await asyncio.to_thread(table_facts, services.settings.data.root, dataset.path)
    stored = replace(dataset, registered_at=services.clock.now(), facts=facts)
    if not await services.datasets.insert(stored):
        raise AlreadyExists("data set", dataset.name, "DELETE it first, or choose another name", "dataset_exists")
    return stored


async def get_dataset(services: Services, name: str) -> Dataset:
    """A registered data set. Raises NotFound with the nearest name."""
    dataset = await services.datasets.get(name) if is_name_id(name) else None
    if dataset is None:
        known = [*BUILT_IN, *(d.name for d in await services.datasets.all())]
        raise NotFound("data set", name[:80], nearest_name(name, known))
    return dataset


async def delete_dataset(services: Services, name: str) -> None:
    """Forget the name; the file stays. Raises NotFound, and Conflict for a built-in one."""
    if name in BUILT_IN:
        raise Conflict(f"Data set {name} is built in and cannot be removed.", code="built_in")
    if not is_name_id(name) or not await services.datasets.delete(name):
        raise NotFound("data set", name[:80])
