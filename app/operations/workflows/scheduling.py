"""Schedules: made, listed, deleted; and fired, each moment once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import structlog

from app.domain.errors import AlreadyExists, FieldError, Invalid, NotFound, TensorFleetError, Unavailable
from app.domain.ids import is_name_id
from app.domain.nearest import nearest_name, unknown_name
from app.domain.workflows.schedules import MISSED, Schedule, cron_fault, due, next_moment, zone_of
from app.domain.workflows.secrets import owner_of_schedule, split_inputs
from app.domain.workflows.validation import NAME_RULE, given_inputs
from app.operations.workflows.creating import run_stored, scheduled
from app.operations.workflows.secrets import drop_of_schedule, seal_values, values_of
from app.operations.workflows.stored import NAMES, stored_definition
from app.services import Services

log = structlog.get_logger()
BATCH = 100


async def create_schedule(services: Services, asked: Schedule) -> Schedule:
    """Store it, its secrets first and apart. Raises Invalid with every fault, NotFound for an unknown workflow,
    AlreadyExists."""
    if errors := _faults(asked):
        raise Invalid(errors)
    pinned = await stored_definition(services, asked.workflow_name)
    _, wrong = given_inputs(pinned.definition, asked.inputs)
    if wrong:
        raise Invalid(wrong)
    zone = zone_of(asked.timezone)
    assert zone is not None  # noqa: S101 - it was looked for among the faults
    shown, secrets = split_inputs(pinned.definition, asked.inputs)
    sealed = await seal_values(services, owner_of_schedule(asked.name), secrets, services.stamp())
    next_at = next_moment(asked.cron, zone, asked.created_at)
    schedule = replace(asked, next_at=next_at, inputs=shown, sealed=sealed)
    if not await services.schedules.insert(schedule):
        await drop_of_schedule(services, asked.name, sealed)
        raise AlreadyExists("schedule", asked.name, "DELETE it first, or choose another name")
    return schedule


def _faults(asked: Schedule) -> list[FieldError]:
    errors = []
    if not is_name_id(asked.name):
        errors.append(FieldError("name", f"must be {NAME_RULE}"))
    if fault := cron_fault(asked.cron):
        errors.append(FieldError("cron", fault))
    if zone_of(asked.timezone) is None:
        errors.append(
            FieldError(
                "timezone", f"there is no time zone {asked.timezone[:80]}; give an IANA name such as Europe/Berlin"
            )
        )
    if asked.missed not in MISSED:
        errors.append(FieldError("missed", *unknown_name("policy", asked.missed, MISSED)))
    return errors


async def delete_schedule(services: Services, name: str) -> None:
    """Forget it and its secrets; its runs stay. Raises NotFound with the nearest name."""
    named = await services.schedules.sealed_of([name]) if is_name_id(name) else {}
    if named and await services.schedules.delete(name):
        await drop_of_schedule(services, name, named[name])
    else:
        known = [schedule.name for schedule in await services.schedules.page(NAMES)]
        raise NotFound("schedule", name[:80], nearest_name(name, known))


async def fire(services: Services, now: datetime) -> int:
    """Run what is due; how many. A schedule whose workflow cannot be run says why, and goes on."""
    schedules = await services.schedules.due(now, BATCH)
    for schedule in schedules:
        await _fire(services, schedule, now)
    return len(schedules)


async def _fire(services: Services, schedule: Schedule, now: datetime) -> None:
    """The run first, then the note of it: a crash between makes the same run again, which changes nothing."""
    what = due(schedule, now)
    if what is None:
        return
    after = replace(schedule, next_at=what.next_at)
    if what.run is not None:
        workflow_id = schedule.workflow_id(what.run)
        error = await _run(services, schedule, workflow_id)
        after = replace(after, last_at=what.run, last_error=error, last_workflow_id=None if error else workflow_id)
    else:
        log.info("schedule.missed", schedule=schedule.name, moment=schedule.next_at)
    await services.schedules.move_on(schedule, after)


async def _run(services: Services, schedule: Schedule, workflow_id: str) -> str | None:
    """Why it could not be run; None when it was. Raises Unavailable: then it is tried again."""
    origin = scheduled(schedule.tenant, schedule.name, workflow_id)
    secrets = await values_of(services, schedule.sealed)
    try:
        await run_stored(services, schedule.workflow_name, {**schedule.inputs, **secrets}, origin, secrets)
    except Unavailable:
        raise
    except TensorFleetError as error:
        log.warning("schedule.refused", schedule=schedule.name, code=error.code)
        return error.message[:500]
    return None
