"""The log of a run: lines from bytes, numbers, the bound."""

from __future__ import annotations

from tests.support.clock import NOON
from workers.logbook import MAX_LINE, Logbook


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


def test_head_and_tail_of_a_long_log_are_kept_and_the_cut_is_said() -> None:
    book = Logbook(head_bytes=200, tail_bytes=100)
    for n in range(1, 101):
        book.said(f"line {n}", "s", NOON)
    head = book.take()
    book.close("s", NOON)
    note, *tail = book.take()
    kept, lost = len(head) + len(tail), tail[0].n - 1 - head[-1].n
    assert head[0].text == "line 1" and tail[-1].text == "line 100"
    assert kept + lost == 100 and f"{lost} lines left out" in note.text
    assert head[-1].n < note.n < tail[0].n


def test_a_log_that_was_taken_while_it_grew_is_cut_in_the_same_way() -> None:
    book, seen = Logbook(head_bytes=200, tail_bytes=100), []
    for n in range(1, 101):
        book.said(f"line {n}", "s", NOON)
        seen += [line.n for line in book.take()]
    book.close("s", NOON)
    seen += [line.n for line in book.take()]
    assert seen == sorted(set(seen)), "numbers ascend and none comes twice"
    assert 100 in seen and len(seen) < 30


def test_closing_twice_says_nothing_twice() -> None:
    book = Logbook(head_bytes=10, tail_bytes=40)
    for n in range(20):
        book.said(f"line {n}", "s", NOON)
    book.close("s", NOON)
    first = book.take()
    book.close("s", NOON)
    assert first and book.take() == []


def test_lines_that_were_not_stored_come_first_again() -> None:
    book = Logbook()
    book.said("a", "s", NOON)
    taken = book.take()
    book.said("b", "s", NOON)
    book.give_back(taken)
    assert texts(book) == ["a", "b"]
    assert book.last_lines() == ("a", "b")
