"""Rollups in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

from app.domain.analytics.cells import sum_of
from app.domain.analytics.rollups import Gauges, Grain, Rollup
from app.domain.analytics.windows import Span
from app.storage.rollups import EVERYTHING


class MemoryRollupStore:
    """`RollupStore`, which forgets nothing, whatever the time is."""

    def __init__(self) -> None:
        self._stored: dict[tuple[Grain, datetime], Rollup] = {}
        self._settled: datetime | None = None

    async def put(self, rollups: Sequence[Rollup], now: datetime) -> None:
        del now
        for rollup in rollups:
            key = rollup.grain, rollup.at
            known = self._stored.get(key)
            seen = known.gauges if known is not None and rollup.grain is Grain.MINUTE else rollup.gauges
            self._stored[key] = replace(rollup, cells=deepcopy(dict(rollup.cells)), gauges=seen)

    async def see(self, at: datetime, gauges: Gauges, now: datetime) -> None:
        del now
        known = self._stored.get((Grain.MINUTE, at), Rollup(Grain.MINUTE, at))
        self._stored[Grain.MINUTE, at] = replace(known, gauges=dict(gauges))

    async def counted(self, begin: datetime, end: datetime) -> dict[datetime, int]:
        minutes = [r for r in self._stored.values() if r.grain is Grain.MINUTE and begin <= r.at < end]
        return {r.at: r.counted for r in minutes if r.counted}

    async def read(self, spans: Sequence[Span], gauges: Collection[str], *, kinds: bool) -> list[Rollup]:
        found = [r for r in self._stored.values() if any(_within(r, span) for span in spans)]
        return [_shown(r, gauges, kinds=kinds) for r in sorted(found, key=lambda r: r.at)]

    async def settled(self) -> datetime | None:
        return self._settled

    async def settle(self, at: datetime) -> None:
        self._settled = at if self._settled is None else max(self._settled, at)


def _within(rollup: Rollup, span: Span) -> bool:
    return rollup.grain is span.grain and span.start <= rollup.at < span.end


def _shown(rollup: Rollup, gauges: Collection[str], *, kinds: bool) -> Rollup:
    cells = deepcopy(dict(rollup.cells))
    if cells and not kinds:
        cells = {EVERYTHING: sum_of(cells.values())}
    return replace(rollup, cells=cells, gauges={name: g for name, g in rollup.gauges.items() if name in gauges})
