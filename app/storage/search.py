"""What a job is found by: two small arrays in its document, each with an index.

- `search`: lower-case texts by whose beginnings a job is found (`q`): the name from each of its words on, tags, texts
  among the parameters. A word that is asked for is a range of the index.
- `facts`: `path=value` for each value of the parameters (`parameter`), found as a whole, so that the index also gives
  the order. A nested value stands there under its own name, too: `C=1` beside `hyperparameters.C=1`.

Both are bounded, and neither holds a secret. Nothing that a user sends is ever a pattern.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from app.domain.job import Job
from app.domain.json import Json, json_leaves

MOST_TERMS, LONGEST_TERM = 50, 64
MOST_FACTS, LONGEST_FACT = 100, 96
MOST_ELEMENTS = 10
MOST_WORDS = 10
_WORD = re.compile(r"[^\W_]+")


def search_fields(
    name: str, tags: Iterable[str], parameters: Mapping[str, Json], secrets: Collection[str]
) -> dict[str, list[str]]:
    """Both arrays."""
    open_ones = {key: value for key, value in parameters.items() if key not in secrets}
    return {"search": _terms(name, tags, open_ones), "facts": _facts(open_ones)}


def terms_of(job: Job) -> dict[str, list[str]]:
    """Both arrays of this job."""
    return search_fields(job.name, job.tags, job.parameters, job.secrets)


def _terms(name: str, tags: Iterable[str], parameters: Mapping[str, Json]) -> list[str]:
    name = name.lower()
    names = [name[start:] for start in _word_starts(name)]
    texts = (text for _, value in _values(parameters) if isinstance(value, str) and (text := value.lower()))
    terms = (*names, *(t.lower() for t in tags), *texts)
    return list(dict.fromkeys(t[:LONGEST_TERM] for t in terms if t))[:MOST_TERMS]


@lru_cache(maxsize=1_024)
def _word_starts(name: str) -> tuple[int, ...]:
    return tuple(word.start() for word in _WORD.finditer(name))


def _facts(parameters: Mapping[str, Json]) -> list[str]:
    found: dict[str, None] = {}
    for path, value in _values(parameters):
        found[fact(path, value)] = None
        if "." in path:
            found[fact(path.rpartition(".")[2], value)] = None
        if len(found) >= MOST_FACTS:
            break
    return list(found)[:MOST_FACTS]


def _values(parameters: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Texts, numbers and truth values with their paths; each of a list's first elements by itself."""
    for place, value in json_leaves(parameters):
        elements: list[Any] = list(value[:MOST_ELEMENTS]) if isinstance(value, list | tuple) else [value]
        yield from ((".".join(place), each) for each in elements if isinstance(each, str | int | float))


def fact(path: str, value: Json) -> str:
    """`path=value` as it is stored and asked for: a number in one way however it is written, the rest in lower case,
    what is long by its hash."""
    text = f"{path}={_canonical(value)}".lower()
    if len(text) <= LONGEST_FACT:
        return text
    return f"{text[: LONGEST_FACT - 17]}#{hashlib.blake2b(text.encode(errors='replace'), digest_size=8).hexdigest()}"


def _canonical(value: Json) -> str:
    if isinstance(value, bool):
        return str(value)
    text = str(value).strip()
    try:
        number = float(text) if len(text) <= LONGEST_TERM else math.nan
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def search_words(text: str) -> list[str]:
    """What a search text asks for: each word must begin one of a job's terms. Bounded to 200 characters, ten words."""
    words = text[:200].replace("\0", " ").lower().split()
    return [w[:LONGEST_TERM] for w in words[:MOST_WORDS]]
