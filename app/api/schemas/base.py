"""What all shapes share: strict numbers, moments, and the two base classes."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from app.domain.errors import FieldError, Invalid
from app.domain.json import Json

Number = Annotated[float, Strict(), AllowInfNan(False)]
"""A finite number; `"1"` and `true` are not numbers."""
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a timestamp with a time zone, such as 2026-01-01T12:00:00Z")
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a timestamp with a time zone, such as 2026-01-01T12:00:00Z") from None


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A timestamp from outside: RFC 3339 text with a zone, never a number; UTC inside."""
Timestamp = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-01-01T12:00:00.000Z"]})
]
"""A timestamp in an answer: UTC, three decimals, `Z`."""


def open_enum(*known: str) -> Any:
    """A string with known values, to which later versions may add: clients must take others."""
    return Field(json_schema_extra={"x-extensible-enum": list(known)})


class Incoming(BaseModel):
    """A body or a part of one: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Outgoing(BaseModel):
    """An answer or a part of one. Declared for the document; the bytes are made by `app.api.views`."""

    model_config = ConfigDict(populate_by_name=True)


def given(model: BaseModel) -> dict[str, Json]:
    """What was said in a request, without what was left out or null."""
    return {name: value for name, value in model if value is not None and name in model.model_fields_set}


def refuse(path: str, message: str, code: str | None = None) -> Invalid:
    """A refusal of one field."""
    return Invalid([FieldError(path, message)], code)
