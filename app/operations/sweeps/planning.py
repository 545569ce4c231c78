"""From a sweep as it is asked for to what a submit would store: the space checked, one trial of it planned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.domain.errors import Invalid
from app.domain.json import deep_merge
from app.domain.specification import Specification
from app.domain.sweeps.asked import SweepRequest, at_fault, checked_space, define, first_values, hide_secrets, room_for
from app.domain.sweeps.checks import nested
from app.domain.sweeps.definition import Definition
from app.operations.plan import plan, policy_of
from app.services import Services


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """What would be stored, the secrets that go with it, and one trial of it as it would be submitted."""

    definition: Definition
    secrets: Mapping[str, str] = field(repr=False)
    trial: Specification


async def plan_sweep(services: Services, asked: SweepRequest) -> PlannedSweep:
    """Raises Invalid with all that is wrong with the space, or with what the template makes of it, each told where it
    was said. What takes a while with a large space is done beside the event loop."""
    space = await asyncio.to_thread(checked_space, asked)
    request = asked.request
    example = replace(request, parameters=deep_merge(request.parameters, nested(first_values(space))))
    try:
        trial = await plan(services, example)
    except Invalid as invalid:
        raise at_fault(invalid, space) from None
    slots = services.settings.limits.max_concurrent_jobs or None
    room = room_for(trial.resources, request.node_selector, await services.nodes.all(), slots)
    policy = await policy_of(services)
    definition = await asyncio.to_thread(define, asked, space, trial, policy, room)
    return PlannedSweep(*hide_secrets(definition, trial.template), trial)
