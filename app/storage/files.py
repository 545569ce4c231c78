"""What all stores of files share: a file is read once, checked on the way, and hidden by that of a later run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from app.domain.errors import Invalid
from app.domain.records import ArtifactInfo

BLOCK = 1 << 20
T = TypeVar("T")


async def to_its_end(work: Callable[[], T]) -> T:
    """In a thread. A cancel waits for it: what is given up does nothing any more when that is known."""
    future = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


async def checked_blocks(info: ArtifactInfo, source: Path) -> AsyncIterator[bytes]:
    """The bytes of the file in blocks. Raises Invalid at the end when they are not those that `info` describes."""
    digest, size = hashlib.sha256(), 0
    file = await asyncio.to_thread(source.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, BLOCK):
            digest.update(block)
            size += len(block)
            yield block
    finally:
        file.close()
    if (size, digest.hexdigest()) != (info.size, info.sha256):
        message = "changed while it was stored; a step must be done with a file before it hands it over"
        raise Invalid.one(f"artifacts.{info.name}", message, code="artifact_changed")


def newest_by_name(infos: Iterable[ArtifactInfo]) -> list[ArtifactInfo]:
    """Of each name the one of the latest run (of one run the last in order), by name."""
    newest: dict[str, ArtifactInfo] = {}
    for info in infos:
        known = newest.get(info.name)
        if known is None or info.run_no >= known.run_no:
            newest[info.name] = info
    return [newest[name] for name in sorted(newest)]
