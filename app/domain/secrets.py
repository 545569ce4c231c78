"""Values of secret parameters: the run's process gets them, nobody else is shown them.

Answers hide them by the parameter's name. In what a run says (log lines, the text of its failure) they are looked for
by their text, whole, line by line, and as JSON would write them. A value of fewer than four characters is not looked
for there: it would take ordinary words apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping

from app.domain.json import Json

HIDDEN = "***"
SHORTEST = 4


def without_secrets(parameters: Mapping[str, Json], secrets: Collection[str]) -> Mapping[str, Json]:
    """The parameters as they may be shown: a secret that has a value reads `***`."""
    if not secrets:
        return parameters
    return {k: HIDDEN if k in secrets and v is not None else v for k, v in parameters.items()}


def redactor(parameters: Mapping[str, Json], secrets: Collection[str]) -> Callable[[str], str]:
    """A function that cuts the values of these parameters out of a text."""
    values = {parameters[name] for name in secrets if isinstance(parameters.get(name), str)}
    forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
    if not forms:
        return _same
    found = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: found.sub(HIDDEN, text)


def _same(text: str) -> str:
    return text


def _forms(value: str) -> Iterator[str]:
    """How a value may stand in a text."""
    yield value
    yield from (line.strip() for line in value.splitlines())
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
