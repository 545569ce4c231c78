"""Messages to nodes within one process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from app.domain.dispatch import Assignment
from app.domain.ports import Bells, node_bell


class MemoryDispatcher:
    """`Dispatcher` in memory; `take` is what the node's side does."""

    def __init__(self, bells: Bells) -> None:
        self._bells = bells
        self._waiting: defaultdict[str, list[Assignment]] = defaultdict(list)

    async def dispatch(self, node_id: str, assignments: Sequence[Assignment]) -> None:
        if assignments:
            self._waiting[node_id].extend(assignments)
            await self._bells.ring(node_bell(node_id))

    def take(self, node_id: str) -> list[Assignment]:
        """Every assignment that waits for the node, oldest first."""
        return self._waiting.pop(node_id, [])
