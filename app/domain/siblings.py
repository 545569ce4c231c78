"""Names of jobs that come together: each tells what sets it apart from its siblings, and nothing else.

`iris-svm-c1`, `iris-svm-c10`: what all of them are, then only the parameters in which they differ. Each name is another
one. It depends on the set of siblings and not on their order, except that equal ones are numbered as they come.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.json import Json, Place, json_leaves
from app.domain.naming import SUBJECT, digest, fit, ordered, part, semantic_name, subject, suffixed
from app.domain.specification import Specification

_SHOWN = frozenset((name,) for name in SUBJECT)
_DIGEST = 5
"""Bytes: among 10,000 siblings whose short names are all the same, two hashes meet once in 20,000 times."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """A job among those that come with it. `parameters`: resolved, without secrets; `asked`: what its request gave."""

    template: str
    parameters: Mapping[str, Json]
    asked: Mapping[str, Json]


def sibling_names(siblings: Sequence[Sibling]) -> list[str]:
    """A name for each, all different. One that is alone is named as a job that comes by itself."""
    if len(siblings) == 1:
        [only] = siblings
        return [semantic_name(only.template, only.parameters, only.asked)]
    values = [{place: _plain(value) for place, value in json_leaves(s.parameters)} for s in siblings]
    varying = _varying(values)
    several = len({s.template for s in siblings}) > 1
    identities = [{"template": s.template, "parameters": _plain(s.parameters)} for s in siblings]
    parts = []
    for sibling, own in zip(siblings, values, strict=True):
        told = [part(place, own[place]) for place in varying if place in own]
        parts.append([*subject(sibling.template, sibling.parameters, template=several), *told])
    return _numbered(_distinct(parts, identities))


def told_apart(specifications: Sequence[Specification]) -> list[Specification]:
    """These specifications with their `base_name`s telling them apart; names that users gave stay."""
    unnamed = [n for n, each in enumerate(specifications) if not each.named_by_user]
    names = sibling_names([_sibling(specifications[n]) for n in unnamed]) if unnamed else []
    found = list(specifications)
    for n, name in zip(unnamed, names, strict=True):
        found[n] = replace(found[n], base_name=name)
    return found


def _sibling(specification: Specification) -> Sibling:
    hidden = specification.template.schema.secrets
    open_ones, asked = (
        {name: value for name, value in given.items() if name not in hidden}
        for given in (specification.parameters, specification.asked)
    )
    return Sibling(specification.template.id, open_ones, asked)


def _varying(values: Sequence[Mapping[Place, Json]]) -> list[Place]:
    """Where not all have the same, what the name shows anyway left out."""
    first: dict[Place, str] = {}
    counts: Counter[Place] = Counter()
    differs: set[Place] = set()
    for own in values:
        for place, value in own.items():
            counts[place] += 1
            if place not in differs and first.setdefault(place, _text(value)) != _text(value):
                differs.add(place)
    found = {place for place in counts if place in differs or counts[place] < len(values)} - _SHOWN
    return [place for place, _ in ordered((place, None) for place in found)]


def _distinct(parts: Sequence[Sequence[str]], identities: Sequence[Json]) -> list[str]:
    """A name of each one's parts; where different jobs would share it, all of them end in a hash of what they are."""
    texts = [_text(identity) for identity in identities]
    names = [fit(own, identity) for own, identity in zip(parts, identities, strict=True)]
    sharing: dict[str, set[str]] = defaultdict(set)
    for name, text in zip(names, texts, strict=True):
        sharing[name].add(text)
    return [
        name if len(sharing[name]) == 1 else fit(own, None, tail=digest(text, _DIGEST))
        for name, own, text in zip(names, parts, texts, strict=True)
    ]


def _numbered(names: Iterable[str]) -> list[str]:
    """Equal names as `name`, `name-2`, `name-3`, past those that are somebody's own."""
    wanted = list(names)
    taken, given = set(wanted), []
    repeats: Counter[str] = Counter()
    for name in wanted:
        repeats[name] += 1
        own = name
        while repeats[name] > 1 and (own := suffixed(name, repeats[name])) in taken:
            repeats[name] += 1
        taken.add(own)
        given.append(own)
    return given


def _text(value: Json) -> str:
    return digest(value, 16)


def _plain(value: Json) -> Json:
    """The value with whole numbers written one way: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
