"""Schedules as they are asked for and answered."""

from typing import Any

from pydantic import Field

from app.api.schemas.base import Incoming, Outgoing, Timestamp
from app.domain.json import Json


class ScheduleCreate(Incoming):
    """A stored workflow to be run again and again."""

    name: str = Field(description="a-z, 0-9, _ and -, at most 63.", max_length=63)
    workflow_name: str = Field(max_length=63)
    cron: str = Field(description="Minute, hour, day of month, month, day of week.", max_length=200)
    timezone: str = Field("UTC", description="IANA name, such as Europe/Berlin.", max_length=100)
    missed: str = Field(
        "skip", description="What becomes of times at which nothing ran: skip, or run_once.", max_length=20
    )
    inputs: dict[str, Json] = Field(default_factory=dict, description="Of each run. Secrets are stored apart.")


class Schedule(Outgoing):
    """A schedule."""

    name: str
    workflow_name: str
    cron: str
    timezone: str
    missed: str
    inputs: dict[str, Any] = Field(description="As they were given; secrets read `***`.")
    created_at: Timestamp
    next_at: Timestamp | None
    last_at: Timestamp | None
    last_workflow_id: str | None
    last_error: str | None


class ScheduleList(Outgoing):
    """Schedules, by name."""

    schedules: list[Schedule]
    next_cursor: str | None
