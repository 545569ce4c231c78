"""The log of a run: lines from bytes, numbers, the bound."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from bson import encode

from app.domain.log_cuts import with_cuts
from app.domain.records import LogLine
from tests.support.clock import NOON
from workers.logbook import HEAD_BYTES, HEAD_TAKE, MAX_LINE, TAIL_BYTES, TAIL_TAKE, Logbook


def texts(book: Logbook) -> list[str]:
    return [line.text for line in book.take()]


def test_lines_are_put_together_from_pieces() -> None:
    book = Logbook()
    book.printed(b"one\ntw", "s", NOON)
    assert texts(book) == ["one"]
    book.printed(b"o\nthree", "s", NOON)
    assert texts(book) == ["two"]
    book.close("s", NOON)
    assert texts(book) == ["three"]


def test_numbers_count_over_all_streams() -> None:
    book = Logbook()
    book.printed(b"a\n", "s", NOON)
    book.said("b\nc", "s", NOON)
    assert [(line.n, line.stream, line.text) for line in book.take()] == [
        (1, "stdout", "a"),
        (2, "log", "b"),
        (3, "log", "c"),
    ]


def test_a_progress_bar_is_its_last_drawing() -> None:
    book = Logbook()
    book.printed(b"10%\r50%\r100%\r\n", "s", NOON)
    assert texts(book) == ["100%"]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    book = Logbook()
    book.printed(b"\xff\x00ok\n", "s", NOON)
    assert texts(book) == ["\ufffd\ufffdok"]


def test_an_endless_line_is_broken() -> None:
    book = Logbook()
    book.printed(b"x" * (2 * MAX_LINE + 5), "s", NOON)
    book.close("s", NOON)
    assert [len(text) for text in texts(book)] == [MAX_LINE, MAX_LINE, 5]


def test_a_line_that_is_broken_keeps_its_characters_whole() -> None:
    book = Logbook()
    book.printed(("x" + "🦊" * 10_000 + "\n").encode(), "s", NOON)
    assert "".join(texts(book)) == "x" + "🦊" * 10_000


def test_what_a_step_says_is_broken_likewise_and_no_store_can_refuse_it() -> None:
    book = Logbook()
    book.said("y" * (MAX_LINE + 1), "s", NOON)
    book.said("nul \0 half \ud800", "s", NOON)
    assert [len(text) for text in texts(book)[:2]] == [MAX_LINE, 1]
    book.said("nul \0 half \ud800 fox 🦊", "s", NOON)
    [text] = texts(book)
    assert text.encode() and "\0" not in text and text.endswith("fox 🦊")


def everything(book: Logbook) -> list[LogLine]:
    """Store all that waits, as a store that answers would."""
    lines: list[LogLine] = []
    while taken := book.take():
        book.stored(taken)
        lines += taken
    return lines


class Kept:
    """A store: what it was given less what it was told to delete."""

    def __init__(self) -> None:
        self.pieces: list[list[LogLine]] = []

    @property
    def lines(self) -> list[LogLine]:
        return [line for piece in self.pieces for line in piece]

    def store(self, book: Logbook) -> None:
        while taken := book.take():
            self.pieces.append(taken)
            book.stored(taken)
            if (gone := book.surplus) is not None:
                inside = [p for p in self.pieces if p[0].n > gone.after and p[-1].n < gone.before]
                self.pieces = [p for p in self.pieces if p not in inside]
                book.deleted(gone)
        assert book.surplus is None


LINE = 100 + 96 + 1


def test_head_and_tail_of_a_long_log_are_kept_while_it_grows() -> None:
    book, kept = Logbook(head_bytes=20 * LINE, tail_bytes=10 * LINE), Kept()
    for n in range(1, 1001):
        book.said(f"{n:100}", "s", NOON)
        kept.store(book)
        assert len(kept.lines) <= 20 + 10 + 1
        assert kept.lines[-1].n == n, "a worker that is killed now leaves all that was printed"
    assert [line.n for line in kept.lines] == [*range(1, 21), *range(991, 1001)]
    told = list(with_cuts(kept.lines, 0))
    assert [(x.n, x.text[:30]) for x in told if x not in kept.lines] == [(990, "… 970 lines left out here: of ")]


def test_with_the_store_away_head_and_newest_tail_wait_and_the_middle_goes() -> None:
    book = Logbook(head_bytes=20 * LINE, tail_bytes=10 * LINE)
    for n in range(1, 1001):
        book.said(f"{n:100}", "s", NOON)
        book.give_back(book.take())
        assert book.size <= 30 * LINE
    lines = everything(book)
    assert [line.n for line in lines] == [*range(1, 21), *range(991, 1001)]
    assert book.size == 0


def test_what_is_given_back_stays_in_its_part_and_in_order() -> None:
    book = Logbook(head_bytes=2 * LINE, tail_bytes=5 * LINE)
    for n in range(1, 5):
        book.said(f"{n:100}", "s", NOON)
    head = book.take()
    assert [x.n for x in head] == [1, 2], "head and tail are never in one piece"
    tail = book.take()
    for n in range(5, 8):
        book.said(f"{n:100}", "s", NOON)
    book.give_back(tail)
    book.give_back(head)
    assert [x.n for x in everything(book)] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("text", ["", "x" * 300, "🦊" * 300, "é" * MAX_LINE], ids=["empty", "plain", "wide", "long"])
def test_the_bound_is_one_of_bytes_in_the_store(text: str) -> None:
    book, kept = Logbook(head_bytes=90_000, tail_bytes=10_000), Kept()
    for n in range(150_000 // (len(text) + 50) + 10):
        book.said(text, "training", NOON)
        kept.store(book)
        if n % 101 and len(text) < MAX_LINE:
            continue
        stored = sum(len(encode({"0": asdict(x)})) for x in kept.lines)
        assert stored <= 100_000 + len(encode({"0": asdict(kept.lines[-1])}))


def test_a_flood_is_taken_in_pieces_that_fit() -> None:
    book = Logbook()
    for _ in range(400):
        book.printed((b"z" * 99 + b"\n") * 650, "s", NOON)
    assert book.size <= HEAD_BYTES + TAIL_BYTES
    sizes = []
    while taken := book.take():
        sizes.append(sum(len(x.text) for x in taken))
    assert max(sizes[:9]) <= HEAD_TAKE and max(sizes[-8:]) <= TAIL_TAKE


def test_lines_that_were_not_stored_come_first_again() -> None:
    book = Logbook()
    book.said("a", "s", NOON)
    taken = book.take()
    book.said("b", "s", NOON)
    book.give_back(taken)
    assert texts(book) == ["a", "b"]
    assert book.last_lines() == ("a", "b")
