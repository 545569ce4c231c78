"""Holds an answer to its declared shape, both ways."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app.api.schemas.base import Outgoing


def assert_shape(value: Any, shape: type[Outgoing]) -> None:
    """Valid, and no field more or less than declared, at any depth."""
    model: BaseModel = shape.model_validate(value, strict=False)
    again = model.model_dump(mode="json", by_alias=True)
    assert _keys(again) == _keys(value)


def _keys(value: Any) -> Any:
    """The tree of keys."""
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    return [_keys(inner) for inner in value] if isinstance(value, list) else None
