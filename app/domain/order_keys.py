"""Order keys between other keys, so that one job can be moved without touching the others.

A key is a double. Halving a gap ends after some fifty moves to one place; then the neighbours are spread over their own
span, which makes room again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from app.domain.priority import SECOND


def key_between(before: float | None, after: float | None, otherwise: float) -> float | None:
    """A key strictly between two; a second before the first, or after the last; `otherwise` where there is no
    neighbour. None when no double lies between."""
    if before is None and after is None:
        return otherwise
    if before is None:
        return after - SECOND if after is not None else None
    if after is None:
        return before + SECOND
    middle = before + (after - before) / 2
    return middle if before < middle < after else None


def apart(keys: Sequence[float]) -> list[float]:
    """Of all jobs of a class and band, which stand at almost the same key: a microsecond apart, from the first on."""
    return [keys[0] + n for n in range(len(keys))]


def spread(keys: Sequence[float]) -> list[float] | None:
    """As many keys, ascending and evenly over the same span, the first and the last as they were. None when their span
    has too few doubles for a gap between any two."""
    if len(keys) < 3:
        return None
    first, last = keys[0], keys[-1]
    step = (last - first) / (len(keys) - 1)
    even = [first + n * step for n in range(len(keys) - 1)] + [last]
    return even if all(key_between(a, b, 0.0) is not None for a, b in pairwise(even)) else None
