"""The log of one run: bytes and lines in, numbered lines out, with a bound.

The first 9 MiB are handed on as they come; of what follows only the last 1 MiB is kept, in memory, and appended at the
end after a line that says what was left out. Line numbers count everything, so a cut shows as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime

from app.domain.records import LogLine

HEAD_BYTES = 9 << 20
TAIL_BYTES = 1 << 20
MAX_LINE = 16_000
FLUSH_BYTES = 64 << 10
TAIL_LINES = 20
_OVERHEAD = 16


class Logbook:
    """Collects the lines of a run, each as `redact` leaves it. `size` is how many bytes wait to be taken."""

    def __init__(
        self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES, redact: Callable[[str], str] = str
    ) -> None:
        self._redact = redact
        self._head_left = head_bytes
        self._tail_room = tail_bytes
        self._ready: list[LogLine] = []
        self._tail: deque[LogLine] = deque()
        self._tail_size = 0
        self._last: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._n = 0
        self._cut_lines = 0
        self.size = 0

    def printed(self, data: bytes, step: str | None, at: datetime) -> None:
        """Output of the run; a line without an end waits for its rest, unless it is too long."""
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._add(_shown(line), step, "stdout", at)
        while len(rest) > MAX_LINE:
            self._add(_shown(rest[:MAX_LINE]), step, "stdout", at)
            rest = rest[MAX_LINE:]
        self._rest = rest

    def said(self, text: str, step: str | None, at: datetime) -> None:
        """What a step logged, a line or several."""
        for line in text.splitlines() or [""]:
            self._add(line, step, "log", at)

    def close(self, step: str | None, at: datetime) -> None:
        """The run ended: the unfinished line and the kept tail become ready. Calling it again changes nothing."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._add(_shown(rest), step, "stdout", at)
        if self._cut_lines:
            note = (
                f"… {self._cut_lines} lines left out here: of a long log the head and the tail are kept, 10 MiB in all"
            )
            self._ready.append(LogLine(self._tail[0].n - 1 if self._tail else self._n, at, step, "log", note))
            self._cut_lines = 0
        self._ready += self._tail
        self.size += self._tail_size
        self._tail.clear()
        self._tail_size = 0

    def take(self) -> list[LogLine]:
        """The lines that are ready, ascending; they count as taken."""
        lines, self._ready, self.size = self._ready, [], 0
        return lines

    def give_back(self, lines: list[LogLine]) -> None:
        """Lines that could not be stored, to be tried again."""
        self._ready[:0] = lines
        self.size += sum(_size(line) for line in lines)

    def last_lines(self) -> tuple[str, ...]:
        """The newest lines, for the text of a failure."""
        return tuple(self._last)

    def _add(self, text: str, step: str | None, stream: str, at: datetime) -> None:
        self._n += 1
        text = self._redact(text)
        line = LogLine(self._n, at, step, stream, text)
        self._last.append(text)
        size = _size(line)
        if self._head_left >= size and not self._tail:
            self._head_left -= size
            self._ready.append(line)
            self.size += size
            return
        self._head_left = 0
        self._tail.append(line)
        self._tail_size += size
        while self._tail_size > self._tail_room and len(self._tail) > 1:
            self._tail_size -= _size(self._tail.popleft())
            self._cut_lines += 1


def _size(line: LogLine) -> int:
    return len(line.text) + _OVERHEAD


def _shown(line: bytes) -> str:
    """A line as a terminal would show it at its end: a progress bar that redraws itself is its last drawing."""
    text = line.decode(errors="replace").replace("\0", "\ufffd").rstrip("\r")
    return text[text.rfind("\r") + 1 :][:MAX_LINE]
