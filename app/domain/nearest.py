"""The nearest known name, for messages that say what was probably meant.

A comparison takes some ten microseconds, so a name is compared with so many only, and a request is told so many faults.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

MOST_COMPARED, LONGEST = 1_000, 100
"""Known names that a name is compared with, and characters of those that are."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is close. Case does not count."""
    if len(name) > LONGEST:
        return None
    by_folded = {k.casefold(): k for k in islice(known, MOST_COMPARED) if len(k) <= LONGEST}
    found = get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def unknown_name(what: str, name: str, known: Iterable[str], *, most: int = 12) -> tuple[str, str | None]:
    """A message for an unknown name and the nearest one: `unknown parameter comand; did you mean command?`."""
    names = sorted(known)
    near = nearest_name(name, names)
    shown = name if len(name) <= 80 else name[:77] + "…"
    if near:
        return f"unknown {what} {shown}; did you mean {near}?", near
    listed = ", ".join(names[:most]) + (", …" if len(names) > most else "")
    return f"unknown {what} {shown}; known: {listed or 'none'}", None
