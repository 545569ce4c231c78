"""The log of one run: bytes and lines in, numbered lines out, with a bound.

The first 9 MiB are the head and are kept. Of what follows the newest 1 MiB is kept, the tail: it is stored as it comes,
and what the store then holds beyond the bound is its `surplus`, to be deleted. So a worker that is killed leaves head
and tail as they were a moment before. Line numbers count everything, and a gap in them is what a reader is told.

What waits to be stored is under the same bounds: with the store away the oldest lines of the tail go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from app.domain.records import LogLine

HEAD_BYTES = 9 << 20
TAIL_BYTES = 1 << 20
HEAD_TAKE = 1 << 20
TAIL_TAKE = 128 << 10
"""Bytes that are stored at once. The store may hold a piece of the tail more than the bound, until that is deleted."""
MAX_LINE = 16_000
TAIL_LINES = 20
_LONGEST_CHARACTER = 4
_OVERHEAD = 96
"""What a line takes in a document beside its text and the name of its step."""


class Surplus(NamedTuple):
    """The stored lines whose numbers lie between these two, neither of them included, are no longer to be kept."""

    after: int
    before: int


class Logbook:
    """Collects the lines of a run, each as `redact` leaves it. `size` is how many bytes wait to be stored."""

    def __init__(
        self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES, redact: Callable[[str], str] = str
    ) -> None:
        self.writing = asyncio.Lock()
        """Held while lines are being stored: they are stored in their order."""
        self._redact = redact
        self._head_left = head_bytes
        self._head_end: int | None = None
        self._head: deque[LogLine] = deque()
        self._head_size = 0
        self._tail: deque[LogLine] = deque()
        self._tail_size = 0
        self._tail_room = tail_bytes
        self._stored: deque[tuple[int, int]] = deque()
        """Of each stored piece of the tail its last number and its size."""
        self._stored_size = 0
        self._kept_from = 0
        self._deleted_to = 0
        self._last: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._n = 0

    @property
    def size(self) -> int:
        return self._head_size + self._tail_size

    @property
    def surplus(self) -> Surplus | None:
        """What the store holds beyond the bound, and was not told to delete yet."""
        if self._head_end is None or self._kept_from == self._deleted_to:
            return None
        return Surplus(self._head_end, self._kept_from)

    def printed(self, data: bytes, step: str | None, at: datetime) -> None:
        """Output of the run; a line without an end waits for its rest, unless it is too long."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            for piece in _pieces(line):
                self._add(_shown(piece), step, "stdout", at)
        *whole, self._rest = _pieces(rest)
        for piece in whole:
            self._add(_shown(piece), step, "stdout", at)

    def said(self, text: str, step: str | None, at: datetime) -> None:
        """What a step logged, a line or several."""
        for line in text.splitlines() or [""]:
            for start in range(0, max(1, len(line)), MAX_LINE):
                self._add(_storable(line[start : start + MAX_LINE]), step, "log", at)

    def close(self, step: str | None, at: datetime) -> None:
        """The run ended: the unfinished line is one. Calling it again changes nothing."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._add(_shown(rest), step, "stdout", at)

    def take(self) -> list[LogLine]:
        """The next lines to be stored, ascending, of the head or of the tail; they count as taken."""
        lines: list[LogLine] = []
        waiting, size = (self._head, HEAD_TAKE) if self._head else (self._tail, TAIL_TAKE)
        while waiting and (not lines or size >= _size(waiting[0])):
            size -= _size(waiting[0])
            lines.append(waiting.popleft())
        self._count(lines, -1)
        return lines

    def stored(self, lines: list[LogLine]) -> None:
        """These, which were taken, are in the store now."""
        if not lines or not self._of_tail(lines[0]):
            return
        size = sum(map(_size, lines))
        self._stored.append((lines[-1].n, size))
        self._stored_size += size
        while self._stored_size > self._tail_room and len(self._stored) > 1:
            last, gone = self._stored.popleft()
            self._stored_size -= gone
            self._kept_from = last + 1

    def deleted(self, surplus: Surplus) -> None:
        """The store has deleted this."""
        self._deleted_to = surplus.before

    def give_back(self, lines: list[LogLine]) -> None:
        """Lines that could not be stored, to be tried again."""
        if lines:
            (self._tail if self._of_tail(lines[0]) else self._head).extendleft(reversed(lines))
            self._count(lines, 1)
            self._bound_tail()

    def last_lines(self) -> tuple[str, ...]:
        """The newest lines, for the text of a failure."""
        return tuple(self._last)

    def _add(self, text: str, step: str | None, stream: str, at: datetime) -> None:
        self._n += 1
        text = self._redact(text)
        line = LogLine(self._n, at, step, stream, text)
        self._last.append(text)
        size = _size(line)
        if self._head_end is None and self._head_left >= size:
            self._head_left -= size
            self._head.append(line)
            self._head_size += size
            return
        if self._head_end is None:
            self._head_end = self._n - 1
        self._tail.append(line)
        self._tail_size += size
        self._bound_tail()

    def _bound_tail(self) -> None:
        while self._tail_size > self._tail_room and len(self._tail) > 1:
            self._tail_size -= _size(self._tail.popleft())

    def _count(self, lines: list[LogLine], sign: int) -> None:
        size = sign * sum(map(_size, lines))
        if lines and self._of_tail(lines[0]):
            self._tail_size += size
        else:
            self._head_size += size

    def _of_tail(self, line: LogLine) -> bool:
        return self._head_end is not None and line.n > self._head_end


def _size(line: LogLine) -> int:
    """Bytes in a document, hardly too few."""
    text = line.text
    return (len(text) if text.isascii() else len(text.encode())) + len(line.step or "") + _OVERHEAD


def _pieces(line: bytes) -> list[bytes]:
    """A line as lines that are not too long, no character of UTF-8 cut in two; at least one."""
    pieces = []
    while len(line) > MAX_LINE:
        end = MAX_LINE
        while end > MAX_LINE - _LONGEST_CHARACTER and line[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]


def _shown(line: bytes) -> str:
    """A line as a terminal would show it at its end: a progress bar that redraws itself is its last drawing."""
    text = line.decode(errors="replace").replace("\0", "\ufffd").rstrip("\r")
    return text[text.rfind("\r") + 1 :]


def _storable(text: str) -> str:
    """Text without what no store takes: NUL, halves of characters."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
