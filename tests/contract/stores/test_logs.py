"""Logs: each line once and in order, whatever was sent twice, in pages, by step, of the newest run."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain.records import LogLine
from app.storage.logs import CHUNK_CHARACTERS, CHUNK_LINES, chunks_of
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

JOB = "job_a"


def line(n: int, step: str | None = "train", text: str = "") -> LogLine:
    return LogLine(n, NOON + timedelta(milliseconds=n), step, "stdout", text or f"line {n} ✓")


def lines(first: int, last: int) -> list[LogLine]:
    return [line(n) for n in range(first, last + 1)]


async def test_lines_come_back_equal_and_in_order(small: SmallStores) -> None:
    await small.logs.append(JOB, 1, lines(1, 3))
    await small.logs.append(JOB, 1, [line(4, None), line(5, "eval")])
    assert await small.logs.read(JOB) == [*lines(1, 3), line(4, None), line(5, "eval")]
    assert await small.logs.read(JOB, step="eval") == [line(5, "eval")]
    assert await small.logs.read("job_b") == []


async def test_nothing_is_appended_for_no_lines(small: SmallStores) -> None:
    await small.logs.append(JOB, 1, [])
    assert await small.logs.read(JOB) == []


async def test_lines_sent_twice_are_told_once(small: SmallStores) -> None:
    await asyncio.gather(*(small.logs.append(JOB, 1, lines(1, 3)) for _ in range(3)))
    await small.logs.append(JOB, 1, lines(1, 6))
    await small.logs.append(JOB, 1, lines(5, 8))
    assert await small.logs.read(JOB) == lines(1, 8)


async def test_pages_join_without_loss_or_repeat(small: SmallStores) -> None:
    for first in range(1, 100, 3):
        await small.logs.append(JOB, 1, lines(first, first + 2))
    found: list[LogLine] = []
    while page := await small.logs.read(JOB, after=found[-1].n if found else 0, limit=7):
        assert len(page) <= 7
        found += page
    assert found == lines(1, 99)


async def test_a_gap_is_told_once_as_a_line_wherever_reading_begins(small: SmallStores) -> None:
    await small.logs.append(JOB, 1, lines(1, 2))
    await small.logs.append(JOB, 1, lines(901, 903))
    told = await small.logs.read(JOB)
    assert [x.n for x in told] == [1, 2, 900, 901, 902, 903]
    assert (told[2].stream, told[2].text.split(" left")[0]) == ("log", "… 898 lines")
    assert [x.n for x in await small.logs.read(JOB, after=500)] == [900, 901, 902, 903]
    found: list[LogLine] = []
    while page := await small.logs.read(JOB, after=found[-1].n if found else 0, limit=1):
        found += page
    assert found == told


async def test_what_lies_between_is_deleted_and_said(small: SmallStores) -> None:
    for first in range(1, 50, 10):
        await small.logs.append(JOB, 1, lines(first, first + 9))
        await small.logs.append(JOB, 2, lines(first, first + 9))
    for _ in range(2):
        await small.logs.delete_between(JOB, 1, 10, 31)
    assert [x.n for x in await small.logs.read(JOB, 1)] == [*range(1, 11), 30, *range(31, 51)]
    assert await small.logs.read(JOB, 2) == lines(1, 50), "another run is left alone"


async def test_everything_of_a_job_is_deleted_and_nothing_of_another(small: SmallStores) -> None:
    for job in ("job_a", "job_b", "job_c"):
        await small.logs.append(job, 1, lines(1, 3))
    await small.logs.delete_of(["job_a", "job_b"])
    assert [bool(await small.logs.read(job)) for job in ("job_a", "job_b", "job_c")] == [False, False, True]


async def test_the_newest_run_is_read_when_none_is_named(small: SmallStores) -> None:
    await small.logs.append(JOB, 10, [line(1, text="tenth")])
    await small.logs.append(JOB, 9, [line(1, text="ninth")])
    assert [x.text for x in await small.logs.read(JOB)] == ["tenth"]
    assert [x.text for x in await small.logs.read(JOB, 9)] == ["ninth"]
    assert await small.logs.read(JOB, 8) == []


async def test_ten_mebibytes_in_one_append_fit(small: SmallStores) -> None:
    text = "x" * 16_000
    await small.logs.append(JOB, 1, [line(n, text=text) for n in range(1, 656)])
    assert [x.n for x in await small.logs.read(JOB)] == list(range(1, 656))


async def test_a_step_at_the_end_of_a_long_log_is_found(small: SmallStores) -> None:
    for first in range(1, 4_000, 100):
        await small.logs.append(JOB, 1, lines(first, first + 99))
    await small.logs.append(JOB, 1, [line(4_001, "last")])
    assert await small.logs.read(JOB, step="last") == [line(4_001, "last")]


def test_chunks_are_bounded_in_lines_and_characters() -> None:
    many = list(chunks_of(lines(1, 2_500)))
    assert [len(chunk) for chunk in many] == [CHUNK_LINES, CHUNK_LINES, 500]
    wide = list(chunks_of([line(n, text="x" * (CHUNK_CHARACTERS // 2)) for n in range(1, 6)]))
    assert [len(chunk) for chunk in wide] == [2, 2, 1]
    assert [len(chunk) for chunk in chunks_of([line(1, text="x" * 2 * CHUNK_CHARACTERS)])] == [1]
