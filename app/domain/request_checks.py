"""Checks of parts of a request that stand by themselves: each yields what is wrong, with its path and the remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from app.domain.errors import FieldError
from app.domain.json import Json
from app.domain.nearest import unknown_name
from app.domain.retry import RETRYABLE

LONGEST = 365 * 86_400
"""No duration in a request may be longer than a year, in seconds."""

MAX_NAME = 200
_RETRY_BOUNDS = {
    "max_attempts": (1, 100),
    "retry_delay": (0, 86_400),
    "max_delay": (0, 86_400),
    "jitter": (0, 1),
    "memory_growth": (1, 10),
}


def is_name(text: str) -> bool:
    """Whether it may be the name of a job or a batch, or a tag."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and not text.isspace()


def seconds_errors(seconds: float | None, path: str) -> Iterator[FieldError]:
    """A duration that is none, or absurd."""
    if seconds is not None and not 0 < seconds <= LONGEST:
        yield FieldError(path, f"must be more than 0 and at most {LONGEST:,} seconds, got {seconds:g}")


def label_errors(path: str, labels: Mapping[str, str]) -> Iterator[FieldError]:
    """Names of labels that cannot be stored. Those that no node has are no error: one may come."""
    for key in labels:
        if not key or "." in key or key.startswith("$"):
            yield FieldError(f"{path}.{key}", "a label must not be empty, hold a dot or start with `$`")


def limit_errors(limits: Sequence[str], known: Collection[str], path: str = "limits") -> Iterator[FieldError]:
    """Named limits that the setting CONCURRENCY_LIMITS has not."""
    for n, name in enumerate(limits):
        if name not in known:
            message, near = unknown_name("limit", name, known)
            yield FieldError(f"{path}[{n}]", f"{message} (CONCURRENCY_LIMITS)", near)


def retry_errors(policy: Mapping[str, Json], path: str = "retry_policy") -> Iterator[FieldError]:
    """What is wrong with a (partial) retry policy."""
    for name, (low, high) in _RETRY_BOUNDS.items() if policy else ():
        value = policy.get(name)
        if value is not None and not low <= value <= high:
            yield FieldError(f"{path}.{name}", f"must be between {low:,} and {high:,}, got {value:g}")
    for n, reason in enumerate(policy.get("retry_on") or ()):
        if reason not in RETRYABLE:
            message, near = unknown_name("reason", str(reason), RETRYABLE)
            yield FieldError(f"{path}.retry_on[{n}]", message, near)
