"""Decisions in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.decisions import Decision


class MemoryDecisionStore:
    """`DecisionStore`."""

    def __init__(self) -> None:
        self._decisions: dict[str, Decision] = {}

    async def keep(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._decisions.setdefault(decision.id, decision)

    async def newest(self, limit: int) -> list[Decision]:
        ordered = sorted(self._decisions.values(), key=lambda d: (d.at, d.cycle), reverse=True)
        return [replace(decision, snapshot=None) for decision in ordered[:limit]]

    async def get(self, decision_id: str) -> Decision | None:
        return self._decisions.get(decision_id)
