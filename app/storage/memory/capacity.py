"""What the autoscaler hands on, in memory."""

from __future__ import annotations

from app.domain.capacity.report import CapacityPlan
from app.domain.capacity.state import CapacityState


class MemoryCapacityStore:
    """`CapacityStore`."""

    def __init__(self) -> None:
        self._state = CapacityState()
        self._plan: CapacityPlan | None = None
        self._term = 0

    async def begin(self, term: int) -> CapacityState | None:
        if term < self._term:
            return None
        self._term = term
        return self._state

    async def keep(self, state: CapacityState, plan: CapacityPlan | None, term: int) -> bool:
        if term < self._term:
            return False
        self._state, self._term = state, term
        self._plan = plan or self._plan
        return True

    async def plan(self) -> CapacityPlan | None:
        return self._plan
