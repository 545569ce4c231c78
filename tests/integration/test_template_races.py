"""Templates and names that several processes ask for at once, on a real MongoDB: a version is made once, a number is
given once, and nothing is lost. What is raced has its control, without that which decides the race."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from app.bootstrap import open_services
from app.config import load_settings
from app.domain.errors import AlreadyExists, PreconditionFailed
from app.domain.specification import JobRequest
from app.domain.templates import Step, Template, TemplateDraft
from app.operations.submit import submit
from app.operations.templates import archive_template, create_template, explain_template, find_template, revise_template
from app.services import Services
from app.storage.names import MongoNameRegister
from app.storage.templates import MongoTemplateStore, template_document

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


def meeting(monkeypatch: pytest.MonkeyPatch, kind: type, name: str, count: int) -> None:
    """The first `count` calls of this method wait for each other, so that all of them have read the same."""
    real, gate = getattr(kind, name), asyncio.Barrier(count)
    calls = 0

    async def together(self: Any, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= count:
            await gate.wait()
        return await real(self, *args)

    monkeypatch.setattr(kind, name, together)


async def _overwrite(self: Any, draft: TemplateDraft, template: Template) -> bool:
    """Without the protection: whoever writes last has the version."""
    document = template_document(draft, template)
    await self._templates.replace_one({"_id": document["_id"]}, document, upsert=True)
    return True


async def test_one_of_many_creations_is_made(two: list[Services]) -> None:
    made = await asyncio.gather(*(create_template(two[n % 2], saying(n)) for n in range(8)), return_exceptions=True)
    [first] = [found for found in made if isinstance(found, Template)]
    assert sum(isinstance(found, AlreadyExists) for found in made) == 7
    assert await versions(two[0]) == [first]


async def test_revisions_at_once_are_a_version_each(two: list[Services], monkeypatch: pytest.MonkeyPatch) -> None:
    await create_template(two[0], DRAFT)
    meeting(monkeypatch, MongoTemplateStore, "insert", 8)
    made = await asyncio.gather(*(revise_template(two[n % 2], saying(n + 1)) for n in range(8)))
    assert sorted(t.version for t in made) == list(range(2, 10))
    stored = {t.version: t for t in await versions(two[1])}
    assert {t.version: t for t in made} == {v: t for v, t in stored.items() if v > 1}


async def test_without_a_version_that_is_written_once_seven_of_eight_revisions_would_be_lost(
    two: list[Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    await create_template(two[0], DRAFT)
    monkeypatch.setattr(MongoTemplateStore, "insert", _overwrite)
    meeting(monkeypatch, MongoTemplateStore, "insert", 8)
    made = await asyncio.gather(*(revise_template(two[n % 2], saying(n + 1)) for n in range(8)))
    assert {t.version for t in made} == {2}
    assert [t.version for t in await versions(two[1])] == [2, 1]


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


async def named(services: Services) -> str:
    """The name that a job of the same request gets."""
    names: list[str] = []
    await submit(services, JobRequest("noop"), "ann", lambda done: names.append(done.job.name) or b"")
    return names[0]


async def test_equal_jobs_from_two_processes_get_a_number_each(
    two: list[Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting(monkeypatch, MongoNameRegister, "claim", 8)
    names = await asyncio.gather(*(named(two[n % 2]) for n in range(8)))
    assert sorted(names) == ["noop", *(f"noop-{n}" for n in range(2, 9))]


async def test_with_numbers_that_are_read_and_then_written_they_would_share_one(
    two: list[Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(MongoNameRegister, "claim", _read_then_write)
    monkeypatch.setattr(MongoNameRegister, "_write", _write, raising=False)
    meeting(monkeypatch, MongoNameRegister, "_write", 8)
    names = await asyncio.gather(*(named(two[n % 2]) for n in range(8)))
    assert set(names) == {"noop"}


async def _read_then_write(self: Any, base: str) -> int:
    found = await self._names.find_one({"_id": base})
    return int(await self._write(base, (found or {"n": 0})["n"] + 1))


async def _write(self: Any, base: str, number: int) -> int:
    await self._names.replace_one({"_id": base}, {"n": number}, upsert=True)
    return number
