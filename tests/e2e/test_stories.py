"""Every story with kill -9 of the API, of the scheduler's leader and of the worker, once each in the middle of it: the
end is the same as without, each child is released once, nothing that had completed runs again. Each kill has its
negative control."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.dev.embedded import Endpoints
from tests.chaos.part import Part
from tests.e2e.conftest import settings_of
from tests.e2e.stories.cluster import Cluster, Role
from tests.e2e.stories.of_jobs import JOBS, a_search_at_random
from tests.e2e.stories.of_workflows import (
    WORKFLOWS,
    approvals_given_and_expired,
    branches_and_skips,
    eight_steps_of_which_the_fifth_fails,
)
from tests.e2e.stories.stage import Stage, Story, perform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
PLACES = {"MAX_CONCURRENT_JOBS": "60"}
GUARANTEES = Path(__file__).parents[2] / "docs" / "guarantees.md"
STORIES = [*JOBS, *WORKFLOWS]
ALWAYS = [s for s in STORIES if s.tell in {a_search_at_random, eight_steps_of_which_the_fifth_fails}]
"""Those that `make test` tells, too."""


async def opened(home: Path, servers: Endpoints, *without: str) -> Cluster:
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"stories_{os.urandom(4).hex()}", home)
    cluster = Cluster(home, {**env, **PLACES}, without=without)
    try:
        await cluster.open()
    except BaseException:
        await cluster.close()
        raise
    return cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, servers: Endpoints) -> AsyncIterator[Cluster]:
    found = await opened(tmp_path_factory.mktemp("stories"), servers)
    yield found
    await found.close()


def row(story: Story) -> str:
    """Its row in the table of `docs/guarantees.md`."""
    at = {role: f"`{point}`" for role, point in story.kills}
    return f"| {story.name.replace('_', ' ')} | {at['api']} | {at['leader']} | {at['worker']} |"


async def test_the_table_says_who_is_killed_where() -> None:
    text = GUARANTEES.read_text().partition("## Stories under kills")[2].partition("\n## ")[0]
    told = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert told == [row(story) for story in STORIES]


@pytest.mark.parametrize(
    "story",
    [pytest.param(story, id=story.name, marks=[] if story in ALWAYS else pytest.mark.slow) for story in STORIES],
)
async def test_a_story_ends_the_same_whatever_is_killed(cluster: Cluster, tmp_path: Path, story: Story) -> None:
    assert sorted(role for role, _ in story.kills) == ["api", "leader", "worker"]
    await perform(story, Stage(cluster, tmp_path / "stage", story.kills))


@pytest.mark.slow
@pytest.mark.parametrize(("without", "role"), [("settling", "worker"), ("takeover", "leader")])
async def test_without_its_protection_the_story_does_not_end(
    tmp_path: Path, servers: Endpoints, without: str, role: Role
) -> None:
    cluster = await opened(tmp_path, servers, without)
    story = Story(branches_and_skips, [(role, "judge")])
    stage = Stage(cluster, tmp_path / "stage", story.kills, patience=20)
    try:
        with pytest.raises(AssertionError, match="is as awaited"):
            await perform(story, stage)
        assert stage.names() == ["judge"]
    finally:
        await cluster.close()


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), ("workflow_keeper",)], ids=["protected", "without_the_keeper"])
async def test_an_api_that_dies_of_an_approval(tmp_path: Path, servers: Endpoints, without: tuple[str, ...]) -> None:
    """It dies when the answer is written and the job that follows is not made; the leader makes it, or nobody does."""
    cluster = await opened(tmp_path, servers, *without)
    stage = Stage(cluster, tmp_path / "stage", patience=20 if without else 150)
    try:
        api = await cluster.kill("api")
        await cluster.restart(api, f"dies_before_release:{tmp_path / 'died'}")
        reviving = asyncio.ensure_future(_revive(cluster, api))
        telling = perform(Story(approvals_given_and_expired, ()), stage)
        if without:
            with pytest.raises(AssertionError, match="is as awaited"):
                await telling
            assert stage.names() == []
        else:
            await telling
        await reviving
    finally:
        await cluster.close()


async def _revive(cluster: Cluster, part: Part) -> None:
    """Start it again when it has died."""
    await part.process.process.wait()
    await cluster.restore(part)
