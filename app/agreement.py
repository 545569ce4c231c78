"""What the service and its workers should be told alike.

A node registers with a short digest of each such setting: it tells whether the setting is the same, and not what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from app.config import Settings

FACT = "settings"
"""Under this name among the facts of a node."""


def told(settings: Settings) -> str:
    """`NAME=digest` of each, as a fact."""
    return " ".join(f"{name}={digest}" for name, digest in _digests(settings).items())


def differing(settings: Settings, facts: Mapping[str, str | int | float]) -> list[str]:
    """Names of those that a node with these facts was told otherwise. What it does not tell counts as the same."""
    theirs = dict(pair.partition("=")[::2] for pair in str(facts.get(FACT, "")).split())
    return [name for name, digest in _digests(settings).items() if theirs.get(name, digest) != digest]


def _digests(settings: Settings) -> dict[str, str]:
    """Of `ARTIFACT_DIR` only whether there is one: each machine may mount it elsewhere."""
    limits = settings.limits
    values = {
        "ARTIFACT_DIR": settings.data.artifact_directory is not None,
        "CONCURRENCY_LIMITS": limits.concurrency,
        "JOB_TIMEOUT": limits.job_timeout.total_seconds(),
        "LEASE_SECONDS": settings.lease.duration.total_seconds(),
        "RETRY_ATTEMPTS": limits.retry_attempts,
    }
    return {name: _digest(value) for name, value in values.items()}


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
