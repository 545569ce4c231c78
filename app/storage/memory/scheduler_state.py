"""The scheduler's state in memory."""

from __future__ import annotations

from app.domain.calibration import Calibration
from app.domain.scheduler_state import QueuePause, SchedulerState


class MemorySchedulerStore:
    """`SchedulerStore`."""

    def __init__(self) -> None:
        self._state = SchedulerState()
        self._term = 0
        self._calibration = Calibration()
        self._pause: QueuePause | None = None

    async def state(self) -> SchedulerState:
        return self._state

    async def keep(self, state: SchedulerState, term: int) -> bool:
        if term < self._term:
            return False
        self._state, self._term = state, term
        return True

    async def calibration(self) -> Calibration:
        return self._calibration

    async def keep_calibration(self, calibration: Calibration, term: int) -> bool:
        if term < self._term:
            return False
        self._calibration, self._term = calibration, term
        return True

    async def pause(self) -> QueuePause | None:
        return self._pause

    async def set_pause(self, pause: QueuePause | None) -> QueuePause | None:
        self._pause = None if pause is None else self._pause or pause
        return self._pause
