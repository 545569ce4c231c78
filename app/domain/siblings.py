"""Names of jobs that come together: each tells what sets it apart from its siblings, and nothing else.

`iris-svm-c1`, `iris-svm-c10`: what all of them are, then only the parameters in which they differ. Different jobs have
different names, equal ones the same, which the register of names numbers. They depend on the set of siblings and not on
their order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.json import Json, Place, json_leaves
from app.domain.naming import SUBJECT, digest, fit, ordered, part, semantic_name, subject
from app.domain.specification import Specification, telling

_SHOWN = frozenset((name,) for name in SUBJECT)
_DIGEST = 5
"""Bytes: among 10,000 siblings whose short names are all the same, two hashes meet once in 20,000 times."""
_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Sibling:
    """A job among those that come with it. `parameters`: resolved, without secrets; `asked`: what its request gave."""

    template: str
    parameters: Mapping[str, Json]
    asked: Mapping[str, Json]

    def identity(self) -> Json:
        """What it is, the same for equal ones."""
        return {"template": self.template, "parameters": _plain(self.parameters)}


def sibling_names(siblings: Sequence[Sibling]) -> list[str]:
    """A name for each. One that is alone is named as a job that comes by itself."""
    if len(siblings) == 1:
        [only] = siblings
        return [semantic_name(only.template, only.parameters, only.asked)]
    values = [{place: _plain(value) for place, value in json_leaves(s.parameters)} for s in siblings]
    varying = _varying(values)
    several = len({s.template for s in siblings}) > 1
    parts = []
    for sibling, own in zip(siblings, values, strict=True):
        told = [part(place, own[place]) for place in varying if place in own]
        parts.append([*subject(sibling.template, sibling.parameters, template=several), *told])
    return _distinct(siblings, parts)


def base_names(specifications: Sequence[Specification]) -> list[str]:
    """The names of these before they are numbered: those that users gave as they are, the others told apart."""
    unnamed = [_sibling(each) for each in specifications if not each.named_by_user]
    told = iter(sibling_names(unnamed) if unnamed else ())
    return [each.base_name if each.named_by_user else next(told) for each in specifications]


def _sibling(specification: Specification) -> Sibling:
    template = specification.template
    return Sibling(template.id, telling(template, specification.parameters), telling(template, specification.asked))


def _varying(values: Sequence[Mapping[Place, Json]]) -> list[Place]:
    """Where not all have the same, what the name shows anyway left out."""
    first: dict[Place, Json] = {}
    counts: Counter[Place] = Counter()
    differs: set[Place] = set()
    for own in values:
        counts.update(own.keys())
        for place, value in own.items():
            if place not in differs and not _same(first.setdefault(place, value), value):
                differs.add(place)
    found = {place for place in counts if place in differs or counts[place] < len(values)} - _SHOWN
    return [place for place, _ in ordered((place, None) for place in found)]


def _distinct(siblings: Sequence[Sibling], parts: Sequence[Sequence[str]]) -> list[str]:
    """A name of each one's parts; where different jobs would share it, all of them end in a hash of what they are."""
    names = [fit(own, each.identity) for own, each in zip(parts, siblings, strict=True)]
    sharing: dict[str, list[int]] = defaultdict(list)
    for n, name in enumerate(names):
        sharing[name].append(n)
    for places in sharing.values():
        hashes = [digest(siblings[n].identity(), _DIGEST) for n in places] if len(places) > 1 else []
        if len(set(hashes)) > 1:
            for n, tail in zip(places, hashes, strict=True):
                names[n] = fit(parts[n], siblings[n].identity, tail=tail)
    return names


def _same(one: Json, other: Json) -> bool:
    """As JSON: true is not 1."""
    if type(one) is type(other) and isinstance(one, _SCALARS):
        return bool(one == other)
    return digest(one, 16) == digest(other, 16)


def _plain(value: Json) -> Json:
    """The value with whole numbers written one way: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
