"""The nearest known name, for messages that say what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing is close. Case does not count."""
    by_folded = {k.casefold(): k for k in known}
    found = get_close_matches(name.casefold()[:200], list(by_folded), n=1, cutoff=0.6)
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
