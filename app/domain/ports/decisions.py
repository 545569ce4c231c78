"""The decision log, as a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.decisions import Decision


class DecisionStore(Protocol):
    """What cycles decided, for seven days."""

    async def keep(self, decisions: Sequence[Decision]) -> None:
        """Store each; one that is there stays as it is."""

    async def newest(self, limit: int) -> list[Decision]:
        """The newest first, without their snapshots."""

    async def get(self, decision_id: str) -> Decision | None:
        """With its snapshot, where that was stored."""
