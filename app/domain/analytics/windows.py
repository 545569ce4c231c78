"""Which stretch of time is asked about, and which rollups make it up.

Windows of up to two days begin at a whole minute, longer ones at a whole hour: at most that much earlier than asked. An
answer says where it begins and ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.analytics.rollups import DAY, HOUR, MINUTE, Grain
from app.domain.errors import Invalid

SHORTEST, LONGEST = HOUR, 30 * DAY
FINE = 2 * DAY
"""Windows of up to this length are known by the minute."""
MOST_POINTS = 1_500
NICE_POINTS = 300
"""Points of a series whose step was not asked for, at most."""
STEPS = tuple(timedelta(minutes=m) for m in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440))
_DURATION = re.compile(r"([1-9]\d{0,5})([mhd])", re.ASCII)
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
_FORM = "must be a whole number and m, h or d, such as 90m, 24h or 7d"


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Span:
    """All rollups of a grain that begin in [start, end)."""

    grain: Grain
    start: datetime
    end: datetime


def window_of(text: str) -> timedelta:
    """The length of a window. Raises Invalid for what is none, and for less than an hour or more than thirty days."""
    window = _duration(text, "window")
    if not SHORTEST <= window <= LONGEST:
        raise Invalid.one("window", f"must be between 1h and 30d, got {text}")
    return window


def step_of(text: str | None, window: timedelta) -> timedelta:
    """The distance of two points of a series; by itself one that gives few hundred points. Raises Invalid for one that
    the window is not known by, and for more points than there may be."""
    finest = MINUTE if window <= FINE else HOUR
    if text is None:
        return next(step for step in STEPS if step >= finest and window / step <= NICE_POINTS)
    step = _duration(text, "step")
    if step % finest:
        known = "1m" if finest == MINUTE else "1h, since longer windows than 2d are known by the hour"
        raise Invalid.one("step", f"must be a multiple of {known}, got {text}")
    if step > DAY and step % DAY:
        raise Invalid.one("step", f"must be whole days where it is longer than one, got {text}")
    if step > window:
        raise Invalid.one("step", f"must not be longer than the window, got {text}")
    if window / step > MOST_POINTS:
        least = next(_text(s) for s in STEPS if s >= finest and window / s <= MOST_POINTS)
        raise Invalid.one("step", f"gives more than {MOST_POINTS:,} points; ask for {least} or more")
    return step


def period_of(window: timedelta, now: datetime) -> Period:
    """The window that ends now."""
    return Period((Grain.MINUTE if window <= FINE else Grain.HOUR).floor(now - window), now)


def coarsest_of(step: timedelta) -> Grain:
    """The coarsest rollups of which none lies in two steps."""
    return Grain.DAY if not step % DAY else Grain.HOUR if not step % HOUR else Grain.MINUTE


def cover(period: Period, settled: datetime | None, coarsest: Grain = Grain.DAY) -> list[Span]:
    """Rollups that make up the period, each moment once, the coarsest that there are. `settled`: hours and days that
    ended by then are made; None: there are none."""
    start, end = period.start, period.end
    until = start if settled is None else settled
    hours_from = min(Grain.HOUR.ceil(start), end) if coarsest is not Grain.MINUTE else end
    hours_to = max(hours_from, min(Grain.HOUR.floor(until), Grain.HOUR.floor(end)))
    days_from = min(Grain.DAY.ceil(hours_from), hours_to) if coarsest is Grain.DAY else hours_to
    days_to = max(days_from, Grain.DAY.floor(hours_to))
    pieces = (
        Span(Grain.MINUTE, start, hours_from),
        Span(Grain.HOUR, hours_from, days_from),
        Span(Grain.DAY, days_from, days_to),
        Span(Grain.HOUR, days_to, hours_to),
        Span(Grain.MINUTE, hours_to, end),
    )
    return [piece for piece in pieces if piece.start < piece.end]


def _duration(text: str, path: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Invalid.one(path, f"{_FORM}, got {text[:80]!r}")
    return int(found[1]) * _UNITS[found[2]]


def _text(duration: timedelta) -> str:
    unit = next(unit for unit in reversed(_UNITS) if not duration % _UNITS[unit])
    return f"{duration // _UNITS[unit]}{unit}"
