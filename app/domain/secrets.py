"""Values of secret parameters: the run's process gets them, nobody else is shown them.

They are stored apart from their job, in a document of their own that is never changed (`Sealed`); the job itself holds
`***`, so that whatever shows, copies or indexes a job has nothing to hide. In what a run says (log lines, outputs, the
text of its failure) they are looked for by their text: whole, line by line, and as JSON, a URL or Base64 would write
them. A value of fewer than four characters is not looked for there: it would take ordinary words apart.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from app.domain.errors import FieldError
from app.domain.json import Json

HIDDEN = "***"
SHORTEST = 4
SHORTEST_CODED = 6
Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The secrets of a job by the name of their parameter, or those of a run of a workflow, or of a schedule
    (`app.domain.workflows.secrets`). What they are of, `owner`, names the id of the one that holds."""

    id: str
    owner: str
    values: Mapping[str, str] = field(repr=False)
    at: datetime


def sealed_by(owner: str, op: str) -> str:
    """The id of what a change seals: another one than that of a job's first, which has the job's own id."""
    return f"{owner}-{op}"


def without_secrets(parameters: Mapping[str, Json], secrets: Collection[str]) -> Mapping[str, Json]:
    """The parameters as they may be shown: a secret that has a value reads `***`."""
    if not secrets:
        return parameters
    return {k: HIDDEN if k in secrets and v is not None else v for k, v in parameters.items()}


def masked_errors(given: Mapping[str, Json], secrets: Iterable[str], place: str = "parameters") -> Iterator[FieldError]:
    """A secret that was read and sent back is no secret: the run would be given three asterisks."""
    for name in secrets:
        if given.get(name) == HIDDEN:
            yield FieldError(f"{place}.{name}", f"reads `{HIDDEN}`, as a secret is shown; give its value")


def redactor(values: Iterable[Json]) -> Redact | None:
    """A function that cuts these values out of a text; None when there is nothing to cut."""
    forms = {form for value in values if isinstance(value, str) for form in _forms(value) if len(form) >= SHORTEST}
    if not forms:
        return None
    found = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: found.sub(HIDDEN, text)


def redacted(value: Json, redact: Redact) -> Json:
    """The value with every text in it redacted, the keys of objects too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redacted(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner, redact) for inner in value]
    return value


def _forms(value: str) -> Iterator[str]:
    """How a value may stand in a text."""
    yield value
    yield from (line.strip() for line in value.splitlines())
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    if len(value) >= SHORTEST_CODED:
        yield from _base64(value.encode(errors="replace"))


def _base64(value: bytes) -> Iterator[str]:
    """What Base64 makes of it wherever it begins in a longer text: `user:token` hides the token at any of three
    places."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + value)
        start = -(-before * 8 // 6)
        whole = (before + len(value)) * 8 // 6
        yield coded[start:whole].decode()
        yield base64.urlsafe_b64encode(b"\0" * before + value)[start:whole].decode()
