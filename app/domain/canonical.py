"""The one JSON form of a value, its digest, and its packed bytes."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any


def canonical(value: Any) -> bytes:
    """Sorted keys, no blanks, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: Any) -> str:
    """Of a value's canonical form: 32 hexadecimal characters."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def packed(value: Any) -> bytes:
    """The canonical form, compressed."""
    return zlib.compress(canonical(value), 1)


def unpacked(data: bytes) -> Any:
    """The value that was packed. Raises ValueError for anything else."""
    try:
        return json.loads(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(f"not a packed value: {error}") from error
