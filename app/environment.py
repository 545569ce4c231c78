"""How a group of settings is read from an environment, and written to one: value types, the declaration of a variable,
the reading, and the text of a value.

The environment is a mapping that is handed over, never a place to look, so that tests need not touch the process's own.
Durations are plain seconds in the environment and `timedelta` inside. An empty variable counts as unset.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from app.wording import fault


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError("must be a number of seconds, like 90 or 0.5") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (ValueError, OverflowError):
            raise ValueError("must be a finite number of seconds, like 90 or 0.5") from None
    return value


def _labels(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(sign and key.strip() for key, sign, _ in pairs):
        raise ValueError("must be pairs like zone=a,disk=ssd")
    return {key.strip(): text.strip() for key, _, text in pairs}


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _positive(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= timedelta(days=366):
        raise ValueError("must be more than 0 seconds and at most a year")
    return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
"""A duration: a positive number of seconds in the environment, `timedelta` inside, at most a year."""

Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(_labels)]
"""`zone=a,disk=ssd` in the environment, a dictionary inside."""

Upper = BeforeValidator(_upper)
"""Takes a word in any case."""


WHSEC = r"^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
"""What signs a webhook (Standard Webhooks): 24 to 64 bytes in base64, whole groups of four characters."""


def variable(name: str, meaning: str, default: Any, *, unit: str = "", **limits: Any) -> Any:
    """A field read from the environment variable `name`; `meaning` and `unit` become its line in `.env.example`."""
    return Field(default, validation_alias=name, description=meaning, json_schema_extra={"unit": unit}, **limits)


class Group(BaseSettings):
    """Settings of one subject."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read` hands over."""
        return (init_settings,)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The environment variables of this group → their fields."""
        return {str(field.validation_alias): name for name, field in cls.model_fields.items()}


G = TypeVar("G", bound=Group)


def read(kind: type[G], environ: Mapping[str, str], overrides: Mapping[str, object]) -> G:
    """A `kind` from `environ`, with `overrides` by variable name on top. Raises as pydantic does; see `explain`."""
    source = EnvSettingsSource(kind)
    source.env_vars = {key.lower(): text for key, text in environ.items() if text.strip()}
    ours = {name: value for name, value in overrides.items() if name in kind.variables()}
    return kind(**{**source(), **ours})


def written(group: Group) -> dict[str, str]:
    """The variables that `read` makes an equal group of: those that were set."""
    kind = type(group)
    named = {name: field for name, field in kind.variables().items() if field in group.model_fields_set}
    return {name: _written(kind.model_fields[field], getattr(group, field)) for name, field in named.items()}


def _written(field: FieldInfo, value: object) -> str:
    if NoDecode in field.metadata and isinstance(value, Mapping):
        return ",".join(f"{key}={text}" for key, text in value.items())
    return as_text(value)


def as_text(value: object) -> str:
    """A value as it is written in the environment."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case timedelta():
            return str(_seconds_of(value))
        case dict():
            return orjson.dumps(value, default=_in_json, option=orjson.OPT_NON_STR_KEYS).decode() if value else ""
        case _:
            return str(value)


def _in_json(value: object) -> object:
    if isinstance(value, timedelta):
        return _seconds_of(value)
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} has no form in the environment")


def _seconds_of(value: timedelta) -> float:
    seconds = value.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def explain(kind: type[Group], error: ValidationError | SettingsError) -> list[str]:
    """What is wrong, a line for each variable: name, fault, meaning. Values are left out, some are secret."""
    if isinstance(error, SettingsError):
        return [
            f"{name} is not valid JSON. {_meaning(kind, field)}"
            for name, field in kind.variables().items()
            if f'"{field}"' in str(error)
        ]
    return [_line(kind, detail) for detail in error.errors(include_url=False, include_input=False)]


def _line(kind: type[Group], detail: ErrorDetails) -> str:
    said = fault(detail)
    if not detail["loc"]:
        return said
    name, *inside = (str(part) for part in detail["loc"])
    where = "".join(f"[{part}]" for part in inside)
    return f"{name}{where}: {said}. {_meaning(kind, kind.variables()[name])}"


def _meaning(kind: type[Group], field: str) -> str:
    return f"It means: {kind.model_fields[field].description}"
