"""Templates that several processes change at once, on a real MongoDB: a version is made once, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from app.bootstrap import open_services
from app.config import load_settings
from app.domain.errors import AlreadyExists, PreconditionFailed
from app.domain.templates import Step, Template, TemplateDraft
from app.operations.templates import archive_template, create_template, explain_template, find_template, revise_template
from app.services import Services

DRAFT = TemplateDraft("mine", execution_steps=(Step("noop"),), default_parameters={"rate": 0})


@pytest.fixture
async def two(mongo_uri: str, redis_url: str, database: str) -> AsyncIterator[list[Services]]:
    """The services of two processes over one database."""
    settings = load_settings({"MONGODB_URI": mongo_uri, "REDIS_URL": redis_url, "MONGODB_DATABASE": database})
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_services(settings, role="api")) for _ in range(2)]


def saying(rate: int) -> TemplateDraft:
    return replace(DRAFT, default_parameters={"rate": rate})


async def versions(services: Services) -> list[Template]:
    return await services.templates.versions("mine", 100)


async def test_one_of_many_creations_is_made(two: list[Services]) -> None:
    made = await asyncio.gather(*(create_template(two[n % 2], saying(n)) for n in range(8)), return_exceptions=True)
    [first] = [found for found in made if isinstance(found, Template)]
    assert sum(isinstance(found, AlreadyExists) for found in made) == 7
    assert await versions(two[0]) == [first]


async def test_revisions_at_once_are_a_version_each(two: list[Services]) -> None:
    await create_template(two[0], DRAFT)
    made = await asyncio.gather(*(revise_template(two[n % 2], saying(n + 1)) for n in range(8)))
    assert sorted(t.version for t in made) == list(range(2, 10))
    stored = {t.version: t for t in await versions(two[1])}
    assert {t.version: t for t in made} == {v: t for v, t in stored.items() if v > 1}


async def test_of_revisions_of_one_version_one_is_made(two: list[Services]) -> None:
    await create_template(two[0], DRAFT)
    made = await asyncio.gather(
        *(revise_template(two[n % 2], saying(n + 1), expected=1) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(found, PreconditionFailed) for found in made) == 7
    assert [t.version for t in await versions(two[0])] == [2, 1]


async def test_the_same_revision_from_two_processes_is_one_version(two: list[Services]) -> None:
    await create_template(two[0], DRAFT)
    made = await asyncio.gather(*(revise_template(services, saying(1), expected=1) for services in two))
    assert [t.version for t in made] == [2, 2]
    assert made[0] == made[1]


async def test_whatever_comes_first_an_archived_template_is_back_with_its_next_version(two: list[Services]) -> None:
    await create_template(two[0], DRAFT)
    await asyncio.gather(archive_template(two[0], "mine"), revise_template(two[1], saying(1)))
    newest = await find_template(two[0], "mine")
    assert newest.version == 2
    assert (await revise_template(two[1], saying(2))).archived_at is None
    assert "mine" in await two[0].templates.ids(10)


async def test_what_was_explained_once_is_explained_the_same_however_the_base_goes_on(two: list[Services]) -> None:
    await create_template(two[0], DRAFT)
    await create_template(two[0], TemplateDraft("above", base_template="mine", custom_parameters={"size": 1}))
    before = await explain_template(two[0], "above", None)
    for n in range(3):
        await revise_template(two[1], saying(n + 1))
    await archive_template(two[1], "mine")
    after = await explain_template(two[1], "above", None)
    assert (after[0], after[2]) == (before[0], before[2])
    assert [str(layer) for layer in after[1]] == ["above@1", "mine@1"]
