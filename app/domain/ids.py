"""Ids: what they look like and how they are made. Chance and the time are arguments.

A job id is `job_` and 26 lower-case base-32 digits (Crockford's alphabet): 48 bits of milliseconds, 80 bits of chance,
so ids sort by time (the ULID layout). Ids never hold a dot: in MongoDB a dot in a field name would nest silently.
"""

from __future__ import annotations

import re
from datetime import datetime

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
OBJECT_ID = re.compile(r"[a-z0-9_]{1,64}")
NAME_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
STEP_ID = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _base32(value: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        value, digit = divmod(value, 32)
        out.append(ALPHABET[digit])
    return "".join(reversed(out))


def new_job_id(now: datetime, entropy: bytes) -> str:
    """A fresh, time-ordered job id. `entropy`: 10 random bytes."""
    millis = int(now.timestamp() * 1000)
    return f"job_{_base32(millis, 10)}{_base32(int.from_bytes(entropy[:10], 'big'), 16)}"


def is_object_id(text: str) -> bool:
    """Whether the text may be the id of a job, batch or workflow."""
    return OBJECT_ID.fullmatch(text) is not None


def is_name_id(text: str) -> bool:
    """Whether the text may be the id of a node or template."""
    return NAME_ID.fullmatch(text) is not None


def node_id_of(host: str) -> str:
    """A node id from a host name: lowered, every other character becomes `-`."""
    text = re.sub(r"[^a-z0-9_-]+", "-", host.lower()).strip("-_")[:63].rstrip("-_")
    return text or "node"


def run_key(job_id: str, run_no: int) -> str:
    """The name of a run in a node's allocations: `{job_id}-{run_no}`."""
    return f"{job_id}-{run_no}"
