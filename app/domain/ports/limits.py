"""The ledger of places in limits, as a protocol. The jobs are the truth; the ledger makes taking a place safe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from app.domain.limits import Held, Place


class LimitStore(Protocol):
    """Who holds a place in which limit. Taking, holding and releasing may be sent again."""

    async def take(self, job_id: str, sizes: Mapping[str, int], token: str) -> bool:
        """A place in each of these limits, which have so many: whether the job holds them all now. One that it has
        already is its own, under the new token. Of named limits it gets all or none; its place in a batch is taken
        before those, and is the job's own until it is released, also where they were full."""

    async def hold(self, places: Sequence[Place], token: str) -> None:
        """Note places that jobs have in truth, whatever the sizes."""

    async def release(self, places: Sequence[Place]) -> None:
        """Give them back; absent ones, and those taken anew under another token, are skipped."""

    async def held(self, names: Collection[str] | None = None) -> Held:
        """All places that are held, or those of these limits and perhaps others; a limit in which none is may be left
        out."""

    async def forget_empty(self) -> None:
        """Keep nothing any more of batches in which no place is held."""
