"""Ids: what they look like and how they are made. Chance and the time are arguments.

A job id is `job_` and 26 lower-case base-32 digits (RFC 4648's extended hex alphabet, which sorts as its values do):
48 bits of milliseconds, 80 bits of chance, so ids sort by time. Ids never hold a dot: in MongoDB a dot in a field name
would nest silently.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32hexencode
from datetime import datetime

OBJECT_ID = re.compile(r"[a-z0-9_]{1,64}")
NAME_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NAME_RULE = "must be 1 to 63 characters of a-z, 0-9, _ and -, beginning with a letter or digit"
STEP_ID = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def new_job_id(now: datetime, entropy: bytes) -> str:
    """A fresh, time-ordered job id. `entropy`: 10 random bytes."""
    millis = int(now.timestamp() * 1000)
    return "job_" + b32hexencode(millis.to_bytes(6, "big") + entropy[:10])[:26].decode().lower()


def new_workflow_id(now: datetime, entropy: bytes) -> str:
    """A fresh, time-ordered workflow id. `entropy`: 10 random bytes."""
    return "wf_" + new_job_id(now, entropy).removeprefix("job_")


def derived_job_id(*parts: str) -> str:
    """The job id that belongs to these parts: whoever makes it, and however often, it is one job."""
    return "job_" + _derived(parts)


def derived_workflow_id(*parts: str) -> str:
    """The workflow id that belongs to these parts."""
    return "wf_" + _derived(parts)


def _derived(parts: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return b32hexencode(digest)[:26].decode().lower()


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
