"""What pydantic finds wrong with a value, said as one says it: `must be a list`, not `Input should be a valid list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OBJECT, _WHOLE, _NUMBER, _FLAG = (
    "must be an object",
    "must be a whole number",
    "must be a number",
    "must be true or false",
)
_FAULTS: Mapping[str, str] = {
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "must say what it is by {discriminator}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


def fault(found: Mapping[str, Any]) -> str:
    """What is wrong, of one of pydantic's error details. A message of our own stays as it is."""
    known = _FAULTS.get(found["type"])
    if known is None:
        return str(found["msg"]).removeprefix("Value error, ")
    return known.format_map(found.get("ctx") or {})
