"""What was first said of the starts of jobs, over Valkey and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from app.domain.calibration import Announcement
from app.domain.ports import Announcements
from app.domain.priority import Priority
from app.storage import redis
from app.storage.announcements import RedisAnnouncements
from app.storage.memory.announcements import MemoryAnnouncements
from tests.support.wait import until

SAID = Announcement(Priority.HIGH, 1_700_000_000.125, 60.5, 20.25, 180.75, 45.0)


@pytest.fixture(params=["valkey", "memory"])
async def said(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Announcements]:
    if request.param == "memory":
        yield MemoryAnnouncements()
        return
    client = redis.connect(redis_url)
    yield RedisAnnouncements(client, "tf:test")
    await client.aclose()


async def heard(said: Announcements, job_id: str) -> Announcement:
    """What was said of it, once it has come."""
    found = await until(lambda: said.take([job_id]))
    return found[job_id]


async def test_what_was_said_is_taken_once(said: Announcements) -> None:
    said.say("a", SAID)

    assert await heard(said, "a") == SAID
    assert await said.take(["a", "b"]) == {}


async def test_the_first_disturbance_counts_and_unknown_jobs_are_let_be(said: Announcements) -> None:
    async def disturbed(why: str) -> Announcement | None:
        """Once it has come; it may come just after."""
        await said.disturb(["a", "nobody"], why)
        found = (await said.take(["a"])).get("a")
        if found is not None and found.disturbed is None:
            said.say("a", found)
            return None
        return found

    said.say("a", SAID)
    first = await until(lambda: disturbed("reordered"))
    assert first == SAID.because("reordered")
    said.say("a", first)
    assert await until(lambda: disturbed("reprioritised")) == first
    assert await said.take(["nobody"]) == {}


async def test_those_that_leave_without_a_start_are_told_apart(said: Announcements) -> None:
    async def left() -> list[Announcement]:
        await said.leave(["a"], "cancelled")
        return await said.left()

    said.say("a", SAID)

    assert await until(left) == [SAID.because("cancelled")]
    assert await said.take(["a"]) == {}
    assert await said.left() == []


async def test_what_could_not_be_said_is_logged_and_the_next_is_said(redis_url: str) -> None:
    client = redis.connect(redis_url)
    said = RedisAnnouncements(client, "tf:test")
    await client.set("tf:test:said", "not a hash")
    with capture_logs() as logs:
        said.say("a", SAID)
        await until(lambda: any(line["event"] == "announcement.lost" for line in logs))
    await client.delete("tf:test:said")
    said.say("b", SAID)
    assert await heard(said, "b") == SAID
    await client.aclose()
