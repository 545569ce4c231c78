"""Failures that are alike: what is left of one when all that differs from run to run is taken away.

A pattern is the kind of failure, the step, the message without numbers, ids and folders, and the place in the code.
Its fingerprint is a digest of these, so that equal faults of different jobs and days are counted together. Every
failure has one, also of jobs that never ran.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace

from app.domain.job import JobError

MOST_READ, MOST_KEPT = 1_000, 300
"""Characters of a message that are looked at, and that a pattern keeps."""
OWN_FAULTS = frozenset({"error", "permanent"})
"""Codes that say no more than that the run failed: its signal or exit code tells more."""
CARRIERS = frozenset({"CommandFailed", "SystemExit"})
"""Exceptions that do nothing but carry a status or a signal, which tells more than their type."""
_IDS = re.compile(r"\b[a-z_]+_(?=[a-v]*\d)[0-9a-v]{20,}\b|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")
"""Ids of ours, and UUIDs."""
_FOLDERS = re.compile(r"(?:/[\w.@+-]+)+/")
_DIGITS = re.compile(
    r"0x[0-9a-f]+|\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b|(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\d+(?:\.\d+)?"
)
"""Addresses, digests, numbers."""
_LISTS = re.compile(r"#(?:\s*,\s*#)+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class FailurePattern:
    """What failures that are alike have in common. `kind`: the type of the exception, else `signal 11`, `exit 3`, or
    the failure's code; `frame`: `file:function` where it was raised."""

    kind: str
    step: str | None
    message: str
    frame: str | None = None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        parts = (self.kind, self.step or "", self.message, self.frame or "")
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def pattern_of(error: JobError) -> FailurePattern:
    """The pattern that a failure has."""
    return FailurePattern(_kind(error), error.step, normalised(error.message), error.frame)


def with_fingerprint(error: JobError) -> JobError:
    """The failure, named by what it has in common with others."""
    return replace(error, fingerprint=pattern_of(error).fingerprint)


def normalised(message: str) -> str:
    """A message without numbers, ids, addresses and folders, so that equal faults read equal. Lower case, one line."""
    text = message[:MOST_READ].lower()
    for pattern, instead in ((_IDS, "#"), (_FOLDERS, ""), (_DIGITS, "#"), (_LISTS, "#"), (_SPACE, " ")):
        text = pattern.sub(instead, text)
    return text.strip()[:MOST_KEPT]


def _kind(error: JobError) -> str:
    if error.exception_type and error.exception_type not in CARRIERS:
        return error.exception_type
    if error.code in OWN_FAULTS and error.signal is not None:
        return f"signal {error.signal}"
    if error.code in OWN_FAULTS and error.exit_code is not None:
        return f"exit {error.exit_code}"
    return error.code
