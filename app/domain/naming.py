"""Semantic names: what a job is, in at most 63 characters of `[a-z0-9-]`, the same for equal input.

`iris-random-forest-species-n100-d5`: data set, algorithm, target, then the hyperparameters that were asked for, known
ones first. The order in which a request writes them does not count. What does not fit is replaced by a short hash of
everything. Jobs that come together get names that tell them apart (`app.domain.siblings`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from slugify import slugify

from app.domain.json import Json, Place, deep_merge, json_leaves

MAX_LENGTH = 63
_SHORT = {
    "n_estimators": "n",
    "max_depth": "d",
    "learning_rate": "lr",
    "batch_size": "b",
    "max_epochs": "e",
    "epochs": "e",
    "hidden_layer_sizes": "h",
    "n_neighbors": "k",
    "max_iter": "it",
    "kernel": "",
    "seed": "s",
    "test_split": "ts",
    "seconds": "s",
}
_RANK = {name: n for n, name in enumerate(_SHORT)}
SUBJECT = ("dataset_name", "algorithm", "target_column")
_QUIET = frozenset({*SUBJECT, "env", "model", "description"})
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def semantic_name(template_id: str, parameters: Mapping[str, Json], asked: Mapping[str, Json]) -> str:
    """The name of a job without one. `parameters`: resolved; `asked`: what the request itself gave."""
    told = ordered([each for each in json_leaves(asked) if _QUIET.isdisjoint(each[0])])
    own = subject(template_id, parameters)

    def whole() -> Json:
        return {"template": template_id, "parameters": deep_merge(parameters, asked)}

    return fit([*own, *[part(place, value) for place, value in told]], whole)


def subject(template_id: str, parameters: Mapping[str, Json], *, template: bool = False) -> list[str]:
    """Data set, algorithm and target, as far as there are any; the template where that says too little, or on
    demand."""
    found = [_slug(parameters[key]) for key in SUBJECT if isinstance(parameters.get(key), str)]
    return found if len(found) > 1 and not template else [_slug(template_id), *found]


def ordered(values: Iterable[tuple[Place, Json]]) -> list[tuple[Place, Json]]:
    """Known hyperparameters in their usual order, then all others by name."""
    return sorted(values, key=lambda each: (_RANK.get(each[0][-1], len(_RANK)), each[0]))


def suffixed(name: str, repeat: int) -> str:
    """The name of the n-th job that would have this name: the first as it is, then `-2`, `-3`, …"""
    if repeat <= 1:
        return name
    tail = f"-{repeat}"
    return name[: MAX_LENGTH - len(tail)].rstrip("-") + tail


def part(place: Place, value: Json) -> str:
    """A short part like `n100` for one value; empty for none."""
    if value is None or value == {}:
        return ""
    name = place[-1]
    short = _SHORT.get(name)
    if short is None:
        short = "".join(word[0] for word in name.split("_") if word).lower() if "_" in name else name.lower()
    return _slug(f"{short}{_value(value)}")


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "-on" if value else "-off"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return f"-{value}"
    if isinstance(value, list) and all(isinstance(v, (int, float, str)) for v in value):
        return "-" + "-".join(_number(v) if not isinstance(v, str) else v for v in value)
    return "-" + digest(value)


def _number(value: float) -> str:
    """10.0 → `10`, 0.1 → `0p1`, 0.00001 → `1e-05`, -3 → `m3`: only characters that a name may hold."""
    return f"{value:.6g}".replace(".", "p").replace("-", "m", 1 if value < 0 else 0).replace("+", "")


def _slug(text: Json) -> str:
    short = str(text)[:500]
    return short[:48].rstrip("-") if _PLAIN.fullmatch(short) else _slugified(short)


@lru_cache(maxsize=4_096)
def _slugified(text: str) -> str:
    """Remembered, since slugify takes longer than everything else that a submit decides."""
    return slugify(text, max_length=48, word_boundary=False)


def digest(value: Json, size: int = 3) -> str:
    """`size` bytes in hexadecimal, equal for equal JSON whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(canonical.encode(), digest_size=size).hexdigest()


def fit(parts: Iterable[str], whole: Callable[[], Json], *, tail: str = "") -> str:
    """The parts as a name that ends in `tail`; that, or a hash of `whole`, stands for what is too long."""
    name = "-".join(filter(None, (*parts, tail))) or "job"
    if len(name) <= MAX_LENGTH:
        return name
    end = f"-{tail or digest(whole())}"
    return name[: MAX_LENGTH - len(end)].rstrip("-") + end
