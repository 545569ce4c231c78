"""Rollups: what happened in a minute, an hour or a day, so that a question about a month reads dozens of documents.

A minute is made from the runs that ended in it and from one look at the queue and the nodes; an hour from its minutes,
a day from its hours. Each is a function of what it is made from, and replaces what was there: made twice, it is the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from app.domain.analytics.breakdown import EVERYONE, Breakdown, sum_up

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Grain(StrEnum):
    """How long a rollup's stretch of time is. Stretches begin at whole minutes, hours and days of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"

    @property
    def span(self) -> timedelta:
        return _SPANS[self]

    @property
    def kept(self) -> timedelta:
        """How long one is kept after it was made: minutes for windows of two days, the others for those of thirty; each
        for a step of a series more, since its first point may begin so long before the window."""
        return _KEPT[self]

    def floor(self, at: datetime) -> datetime:
        """The beginning of the stretch in which a time lies."""
        return at - (at - _EPOCH) % self.span

    def ceil(self, at: datetime) -> datetime:
        """The first beginning of a stretch that is not before a time."""
        return at + (_EPOCH - at) % self.span


_SPANS = {Grain.MINUTE: MINUTE, Grain.HOUR: HOUR, Grain.DAY: DAY}
_KEPT = {Grain.MINUTE: 3 * DAY, Grain.HOUR: 33 * DAY, Grain.DAY: 63 * DAY}


class Gauge(NamedTuple):
    """What was seen at some moments, once a minute: the sum of the values, and how many there were."""

    total: float
    samples: int = 1

    @property
    def mean(self) -> float:
        return self.total / self.samples


Gauges = Mapping[str, Gauge]


@dataclass(frozen=True, slots=True)
class Rollup:
    """A stretch of time: runs that ended in it, everyone's or a tenant's (`whose`), and, of everyone, what was seen of
    the queue and the nodes. `counted`: of how many runs a minute is made, those that could not be read included."""

    grain: Grain
    at: datetime
    whose: str = EVERYONE
    runs: Breakdown = field(default_factory=Breakdown)
    gauges: Gauges = field(default_factory=dict)
    counted: int = 0


def rollups_of(grain: Grain, at: datetime, runs: Mapping[str, Breakdown], counted: int = 0) -> list[Rollup]:
    """Everyone's, and each tenant's, of the runs that ended in the stretch that begins then."""
    whole = {EVERYONE: Breakdown(), **runs}
    return [Rollup(grain, at, whose, made, counted=counted) for whose, made in whole.items()]


def rolled_up(grain: Grain, at: datetime, whose: str, parts: Sequence[Rollup]) -> Rollup:
    """One stretch from those of one's that lie in it."""
    runs = sum_up(part.runs for part in parts)
    runs.bound()
    return Rollup(grain, at, whose, runs, sum_gauges(part.gauges for part in parts))


def sum_gauges(parts: Iterable[Gauges]) -> dict[str, Gauge]:
    """All that was seen, by name."""
    found: dict[str, Gauge] = {}
    for gauges in parts:
        for name, gauge in gauges.items():
            known = found.get(name)
            found[name] = gauge if known is None else Gauge(known.total + gauge.total, known.samples + gauge.samples)
    return found


def starts(grain: Grain, begin: datetime, end: datetime) -> list[datetime]:
    """The beginnings of all stretches that touch [begin, end)."""
    first = grain.floor(begin)
    return [first + n * grain.span for n in range(max(0, -((first - end) // grain.span)))]
