"""The headers of the Lua scripts are true: of the text below them, and of what callers send."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson
import pytest

from app.domain.priority import Priority
from app.domain.queueing import MOST_BUCKETS, ROOM, Resolution
from app.storage import lua
from app.storage.lua import SCRIPTS, SHARED, Scripts, source
from app.storage.queue_index import RedisQueueIndex
from app.storage.redis import connect
from tests.support.queueing import a_bucket, a_ticket, in_batches


@dataclass(frozen=True)
class Header:
    keys: int
    arguments: int
    more: bool
    text: str


def header_of(name: str) -> Header:
    lines = source(name).splitlines()
    text = "\n".join(line for line in lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))])
    arguments = [int(n) for n in re.findall(r"^-- ARGV\[(\d+)\]  \S", text, re.MULTILINE)]
    keys = [int(n) for n in re.findall(r"^-- KEYS\[(\d+)\]  \S", text, re.MULTILINE)]
    assert arguments == list(range(1, len(arguments) + 1))
    assert keys == list(range(1, len(keys) + 1))
    return Header(len(keys), len(arguments), "\n-- ARGV[*]  " in text, text)


@pytest.mark.parametrize("name", SCRIPTS)
def test_header_tells_what_the_script_uses(name: str) -> None:
    header, body = header_of(name), source(name).removeprefix(header_of(name).text)
    assert {int(n) for n in re.findall(r"KEYS\[(\d+)\]", body)} == set(range(1, header.keys + 1))
    assert {int(n) for n in re.findall(r"ARGV\[(\d+)\]", body)} <= set(range(1, header.arguments + 1))
    assert ("return -1" in body) == ("-- FAILS    -1 when" in header.text)
    assert re.search(r"^-- RETURNS  \S", header.text, re.MULTILINE)


def test_every_file_is_a_known_script() -> None:
    found = {path.name.removesuffix(".lua") for path in (files("app.storage") / "lua").iterdir()}
    assert found == {*SCRIPTS, *SHARED}


def test_scripts_know_the_classes_in_their_order() -> None:
    [classes] = re.findall(r"local CLASSES = \{(.*)\}", source("structures"))
    assert [text.strip("' ") for text in classes.split(",")] == [priority.value for priority in Priority]


def test_scripts_know_how_much_room_there_is_for_buckets() -> None:
    [room] = re.findall(r"local ROOM = \{(.*)\}", source("structures"))
    assert [int(n) for n in room.split(",")] == list(ROOM.values())
    assert list(ROOM) == list(Resolution)[:-1]
    assert f"local MOST_BUCKETS = {MOST_BUCKETS}\n" in source("structures")


def test_scripts_know_a_mixed_bucket_by_its_parts() -> None:
    [mark] = re.findall(r"string.find\(parts, '(.*?)'", source("members"))
    for resolution in Resolution:
        parts = orjson.dumps(a_bucket(tenant=mark).at(resolution).parts()).decode()
        assert (mark in parts) == (resolution is Resolution.MIXED)


@pytest.fixture
async def sent(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, list[Any]]]:
    """The arguments of every script that the index calls when all of it is used."""
    calls: dict[str, list[Any]] = {}
    run = Scripts.run

    async def recorded(self: Scripts, name: str, arguments: Sequence[lua.Argument] = ()) -> Any:
        calls[name] = list(arguments)
        return await run(self, name, arguments)

    monkeypatch.setattr(Scripts, "run", recorded)
    async with connect(redis_url) as redis:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("a"), a_ticket("b", cores=2)])
        await index.publish_bands({"default": 1})
        [head, _] = await index.heads()
        await index.members({head.bucket_id: 2})
        await index.locate(["a"])
        await index.find(["a"])
        await index.missing(["a"])
        await index.listing(None, 1)
        await index.lane(1.0)
        await index.neighbours(Priority.NORMAL, 1, "a")
        await index.span(Priority.NORMAL, 1, 1.0, 2)
        await index.dequeue(["a"])
        await index.rebuild(in_batches([a_ticket("a"), a_ticket("b", cores=2)]))
        yield calls


async def test_callers_send_what_the_headers_say(sent: dict[str, list[Any]]) -> None:
    assert set(sent) == set(SCRIPTS)
    for name, arguments in sent.items():
        header = header_of(name)
        if header.more:
            assert len(arguments) > header.arguments, name
        else:
            assert len(arguments) == header.arguments, name
    for name, buckets_at in (("enqueue", 1), ("rebuild_add", 2)):
        buckets, rest = sent[name][buckets_at], sent[name][buckets_at + 1 :]
        assert (buckets, (len(rest) - 9 * buckets) / 6) == (2, 2), name
