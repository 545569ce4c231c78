"""Rollups in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

from app.domain.analytics.breakdown import EVERYONE, Breakdown
from app.domain.analytics.rollups import Gauges, Grain, Rollup
from app.domain.analytics.windows import Span


class MemoryRollupStore:
    """`RollupStore`, which forgets nothing, whatever the time is."""

    def __init__(self) -> None:
        self._stored: dict[tuple[Grain, datetime, str], Rollup] = {}
        self._settled: datetime | None = None

    async def put(self, rollups: Sequence[Rollup], now: datetime) -> None:
        del now
        for rollup in rollups:
            key = rollup.grain, rollup.at, rollup.whose
            known = self._stored.get(key)
            seen = rollup.gauges
            if rollup.grain is Grain.MINUTE:
                seen = known.gauges if known is not None else {}
            if rollup.runs.total.runs or rollup.counted or rollup.gauges:
                self._stored[key] = replace(rollup, runs=deepcopy(rollup.runs), gauges=seen)

    async def see(self, at: datetime, gauges: Gauges, now: datetime) -> None:
        del now
        key = Grain.MINUTE, at, EVERYONE
        self._stored[key] = replace(self._stored.get(key, Rollup(Grain.MINUTE, at)), gauges=dict(gauges))

    async def counted(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        found = await self.read([Span(Grain.MINUTE, begin, end)], EVERYONE)
        return {r.at: r.counted for r in found if r.counted}

    async def read(
        self, spans: Sequence[Span], whose: str, gauges: Collection[str] = (), *, totals: bool = False
    ) -> list[Rollup]:
        found = [r for r in self._stored.values() if r.whose == whose and any(_within(r, span) for span in spans)]
        return [_shown(r, gauges, totals=totals) for r in sorted(found, key=lambda r: r.at)]

    async def whose(self, span: Span) -> list[str]:
        return sorted({r.whose for r in self._stored.values() if _within(r, span)})

    async def settled(self) -> datetime | None:
        return self._settled

    async def settle(self, at: datetime) -> None:
        self._settled = at


def _within(rollup: Rollup, span: Span) -> bool:
    return rollup.grain is span.grain and span.start <= rollup.at < span.end


def _shown(rollup: Rollup, gauges: Collection[str], *, totals: bool) -> Rollup:
    runs = deepcopy(rollup.runs)
    shown = {name: gauge for name, gauge in rollup.gauges.items() if name in gauges}
    return replace(rollup, runs=Breakdown(runs.total) if totals else runs, gauges=shown)
