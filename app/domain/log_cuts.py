"""How a reader of a log is told what is not kept: a gap in the numbers of the lines, said as a line.

A run numbers every line that it prints, and some are not kept (the middle of a long log, what a store that was away
could not take in time). Nobody has to write that down: wherever the numbers leave a gap, the reader says it, with the
number before the next line; so it is said also when the writer died, and exactly once, wherever reading begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.domain.records import LogLine


def with_cuts(lines: Iterable[LogLine], after: int) -> Iterator[LogLine]:
    """The lines, which ascend from above `after`, with a line for each gap."""
    for line in lines:
        if line.n > after + 1:
            yield LogLine(line.n - 1, line.at, line.step, "log", _cut(line.n - 1 - after))
        yield line
        after = line.n


def _cut(count: int) -> str:
    what = "1 line" if count == 1 else f"{count} lines"
    return f"… {what} left out here: of a long log the head and the tail are kept, 10 MiB in all"
