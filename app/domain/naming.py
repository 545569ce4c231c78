"""Semantic names: what a job is, in at most 63 characters of `[a-z0-9-]`, the same for equal input.

`iris-random-forest-species-n100-d5`: data set, algorithm, target, then the hyperparameters that were asked for. What
does
not fit is replaced by a short hash of everything, so that siblings stay apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

from slugify import slugify

from app.domain.json import Json, deep_merge

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
_SUBJECT = ("dataset_name", "algorithm", "target_column")
_QUIET = frozenset({*_SUBJECT, "env", "model", "description"})


def semantic_name(template_id: str, parameters: Mapping[str, Json], asked: Mapping[str, Json]) -> str:
    """The name of a job without one. `parameters`: resolved; `asked`: what the request itself gave."""
    subject = [_slug(parameters[key]) for key in _SUBJECT if isinstance(parameters.get(key), str)]
    own = subject if len(subject) > 1 else [_slug(template_id), *subject]
    return _fit([*own, *_telling(asked)], {"template": template_id, "parameters": deep_merge(parameters, asked)})


def suffixed(name: str, repeat: int) -> str:
    """The name of the n-th job that would have this name: the first as it is, then `-2`, `-3`, …"""
    if repeat <= 1:
        return name
    tail = f"-{repeat}"
    return name[: MAX_LENGTH - len(tail)].rstrip("-") + tail


def _telling(asked: Mapping[str, Json]) -> Iterator[str]:
    """Short parts like `n100` for the hyperparameters that the request gave, in its order."""
    for name, value in asked.items():
        if name in _QUIET or value is None:
            continue
        if isinstance(value, dict):
            yield from _telling(value)
            continue
        short = _SHORT.get(name)
        if short is None:
            short = "".join(word[0] for word in name.split("_") if word).lower() if "_" in name else name.lower()
        part = _slug(f"{short}{_value(value)}")
        if part:
            yield part


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "-on" if value else "-off"
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return f"-{value}"
    if isinstance(value, list) and all(isinstance(v, (int, float, str)) for v in value):
        return "-" + "-".join(_number(v) if not isinstance(v, str) else v for v in value)
    return "-" + _digest(value)


def _number(value: float) -> str:
    """10.0 → `10`, 0.1 → `0p1`, 0.00001 → `1e-05`, -3 → `m3`: only characters that a name may hold."""
    return f"{value:.6g}".replace(".", "p").replace("-", "m", 1 if value < 0 else 0).replace("+", "")


def _slug(text: Json) -> str:
    return _slugified(str(text)[:500])


@lru_cache(maxsize=4_096)
def _slugified(text: str) -> str:
    """Remembered, since slugify takes longer than everything else that a submit decides."""
    return slugify(text, max_length=48, word_boundary=False)


def _digest(value: Json) -> str:
    canonical = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(canonical.encode(), digest_size=3).hexdigest()


def _fit(parts: list[str], whole: Json) -> str:
    name = "-".join(p for p in parts if p) or "job"
    if len(name) <= MAX_LENGTH:
        return name
    tail = "-" + _digest(whole)
    return name[: MAX_LENGTH - len(tail)].rstrip("-") + tail
