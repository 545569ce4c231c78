"""Schedules: a stored workflow that is run again and again, by a cron expression in a time zone.

The run of each moment has an id derived from schedule and moment, so that it is made once whoever makes it, and however
often. A time that the clocks skip (daylight saving) comes when they have jumped; one that they repeat comes once, but
where the hour is `*`, which means both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from app.domain.ids import derived_workflow_id
from app.domain.json import Json

SKIP, RUN_ONCE = "skip", "run_once"
MISSED = (SKIP, RUN_ONCE)
LATE = timedelta(seconds=60)
"""A moment that is looked at later than this was missed: no process was there to see it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a workflow is run. `next_at`: the moment that is waited for; None when none will come. `sealed`: where the
    secrets among its inputs stand."""

    name: str
    workflow_name: str
    cron: str
    timezone: str
    missed: str
    tenant: str
    created_at: datetime
    next_at: datetime | None
    inputs: Mapping[str, Json] = field(default_factory=dict)
    last_at: datetime | None = None
    last_workflow_id: str | None = None
    last_error: str | None = None
    sealed: str | None = None

    def workflow_id(self, moment: datetime) -> str:
        """The id of the run of a moment."""
        born = self.created_at.isoformat()
        return derived_workflow_id("schedule", self.name, born, moment.isoformat())


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about a schedule whose moment has come: the moment to run, if any, and the next one."""

    run: datetime | None
    next_at: datetime | None


def zone_of(name: str) -> ZoneInfo | None:
    """The time zone; None when there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def cron_fault(cron: str) -> str | None:
    """What is wrong with a cron expression: five fields, minutes at the finest."""
    if len(cron) > 200 or len(cron.split()) != 5:
        return 'must be five fields: minute, hour, day of month, month, day of week, such as "30 2 * * 1-5"'
    try:
        croniter(cron)
    except (CroniterBadCronError, ValueError, KeyError) as error:
        return f"is no cron expression: {str(error)[:200]}"
    return None


def next_moment(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment of the expression after a time, in UTC; None when there is none within fifty years."""
    at = _following(cron, zone, after)
    while at is not None and _is_repeated(cron, zone, at):
        at = _following(cron, zone, at)
    return at


def _following(cron: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    try:
        found = croniter(cron, after.astimezone(zone)).get_next(datetime)
    except CroniterBadDateError:
        return None
    at: datetime = found.astimezone(UTC)
    return at if at > after else at + timedelta(minutes=1)


def _is_repeated(cron: str, zone: ZoneInfo, at: datetime) -> bool:
    """Whether the clocks were set back, and showed this time before. What comes every hour comes in both."""
    return at.astimezone(zone).fold == 1 and not cron.split()[1].startswith("*")


def due(schedule: Schedule, now: datetime) -> Due | None:
    """What is to be done now; None while its moment has not come.

    Of moments that were missed none is run (`skip`), or the last of them once (`run_once`); one that is on time is run
    whatever was missed before it.
    """
    zone = zone_of(schedule.timezone)
    if schedule.next_at is None or schedule.next_at > now or zone is None:
        return None
    moment, following = schedule.next_at, next_moment(schedule.cron, zone, schedule.next_at)
    if following is not None and following <= now:
        following = next_moment(schedule.cron, zone, now)
        moment = _last_before(schedule.cron, zone, now)
    on_time = now - moment <= LATE
    return Due(moment if on_time or schedule.missed == RUN_ONCE else None, following)


def _last_before(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The last moment that has come."""
    moments = croniter(cron, (now + timedelta(microseconds=1)).astimezone(zone))
    while True:
        at: datetime = moments.get_prev(datetime).astimezone(UTC)
        if not _is_repeated(cron, zone, at):
            return at
