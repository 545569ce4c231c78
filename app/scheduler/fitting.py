"""Which of many nodes have room for a vector, without asking each.

Per dimension the free amounts in ascending order, and beside each the set of nodes that have at least as much, as the
bits of one integer. A question is four binary searches and three ANDs, some microseconds whatever the number of nodes.
The answer is exact for the amounts that the index was made of; where free amounts have only fallen since, it holds all
that still fit, and perhaps some that no longer do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from app.domain.resources import Vector


class Fitting:
    """Of these free vectors, by their place in the sequence."""

    def __init__(self, free: Sequence[Vector]) -> None:
        self.everybody = (1 << len(free)) - 1
        parts = [vector.parts() for vector in free]
        self._dimensions = [_at_least([p[r] for p in parts]) for r in range(4)]

    def holding(self, vector: Vector) -> int:
        """The bits of those that have at least this much in every dimension."""
        found = self.everybody
        for amount, (amounts, sets) in zip(vector.parts(), self._dimensions, strict=True):
            if amount > 0 and found:
                found &= sets[bisect_left(amounts, amount)]
        return found


def places(bits: int) -> Iterator[int]:
    """The places of the bits that are set, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _at_least(amounts: list[int]) -> tuple[list[int], list[int]]:
    """Different amounts ascending, and for each the bits of those that have as much; at the end: none."""
    ascending: list[int] = []
    sets: list[int] = [0]
    bits = 0
    for place in sorted(range(len(amounts)), key=amounts.__getitem__, reverse=True):
        bits |= 1 << place
        if ascending and ascending[-1] == amounts[place]:
            sets[-1] = bits
        else:
            ascending.append(amounts[place])
            sets.append(bits)
    return ascending[::-1], [*sets[:0:-1], 0]
