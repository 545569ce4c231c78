"""Replacing a name of a module or class, which must exist: what was renamed may not silently stay as it is."""

from __future__ import annotations

from typing import Any


def replace(owner: Any, name: str, by: Any) -> None:
    """Set `owner.name`. Raises AttributeError where there is none."""
    getattr(owner, name)
    setattr(owner, name, by)


async def nothing(*_: Any, **__: Any) -> None:
    """Does not do it."""
