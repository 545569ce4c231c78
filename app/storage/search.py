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
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from app.domain.job import Job
from app.domain.json import Json, json_leaves

MOST_TERMS, LONGEST_TERM = 50, 64
MOST_FACTS, LONGEST_FACT = 100, 96
MOST_ELEMENTS = 10
MOST_WORDS = 10
_MAY_BE_NUMBER = re.compile(r"[-+]?\.?\d")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_WORD = re.compile(r"[^\W_]+")


def search_fields(
    name: str, tags: Iterable[str], parameters: Mapping[str, Json], secrets: Collection[str]
) -> dict[str, list[str]]:
    """Both arrays."""
    texts: list[str] = []
    facts: dict[str, None] = {}
    for place, value in json_leaves(parameters):
        if place[0] in secrets or len(facts) >= MOST_FACTS:
            continue
        for each in value[:MOST_ELEMENTS] if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, str):
                texts.append(each)
            elif not isinstance(each, (int, float)):
                continue
            told = _canonical(each)
            facts[_fact(place[-1], told)] = None
            if len(place) > 1:
                facts[_fact(".".join(place), told)] = None
    return {"search": _terms(name, tags, texts), "facts": list(facts)[:MOST_FACTS]}


def terms_of(job: Job) -> dict[str, list[str]]:
    """Both arrays of this job."""
    return search_fields(job.name, job.tags, job.parameters, job.secrets)


def _terms(name: str, tags: Iterable[str], texts: Iterable[str]) -> list[str]:
    name = name.lower()
    names = [name[start:] for start in _word_starts(name)]
    terms = [*names, *map(str.lower, tags), *map(str.lower, texts)]
    return list(dict.fromkeys([t[:LONGEST_TERM] for t in terms if t]))[:MOST_TERMS]


@lru_cache(maxsize=1_024)
def _word_starts(name: str) -> tuple[int, ...]:
    return tuple(word.start() for word in _WORD.finditer(name))


def fact(path: str, value: Json) -> str:
    """`path=value` as it is stored and asked for: a number in one way however it is written, the rest in lower case,
    what is long by its hash."""
    return _fact(path, _canonical(value))


def _fact(path: str, told: str) -> str:
    text = f"{path}={told}".lower()
    if len(text) <= LONGEST_FACT:
        return text
    return f"{text[: LONGEST_FACT - 17]}#{hashlib.blake2b(text.encode(errors='replace'), digest_size=8).hexdigest()}"


def _canonical(value: Json) -> str:
    if isinstance(value, str):
        text = value.strip()
        if len(text) > LONGEST_TERM or not _MAY_BE_NUMBER.match(text):
            return text
        if _WHOLE.fullmatch(text):
            return str(int(text))
        number = _number(text)
    elif isinstance(value, float):
        text, number = str(value), value
    else:
        return str(value)
    if not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def search_words(text: str) -> list[str]:
    """What a search text asks for: each word must begin one of a job's terms. Bounded to 200 characters, ten words."""
    words = text[:200].replace("\0", " ").lower().split()
    return [w[:LONGEST_TERM] for w in words[:MOST_WORDS]]
