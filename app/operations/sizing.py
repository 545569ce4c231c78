"""How much a job gets and how long it should take, from the runs that were like it.

The runs are read once in a while, not for each submit, and those of a group once for all kinds of jobs in it. So a
batch of jobs on data that nobody has seen reads as much as one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.domain.errors import FieldError, Invalid
from app.domain.json import Json
from app.domain.resources import Vector, largest_misfit
from app.domain.sizing.evidence import TEMPLATE
from app.domain.sizing.features import NOTHING_KNOWN, TableFacts, facts_of, features_of, is_modelled
from app.domain.sizing.history import Experience, Level, experience_of, is_enough
from app.domain.sizing.kinship import Group, Kinship
from app.domain.sizing.plan import Case, Sized, size
from app.domain.sizing.residuals import Residual, residual_of
from app.domain.specification import SIZED, Specification, SubmitPolicy
from app.services import Services

MAX_AGE = 5.0
"""Seconds for which runs are not read again."""
MOST_PLANS = 1_000
"""That are remembered of a kind, as long as its runs are."""
MOST_RUNS = 150
"""That are read of a group: the hundred that count, and those between that say nothing of one quantity or the other."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is known of a kind of job: of its data, and from runs like it."""

    facts: TableFacts
    experience: Experience
    modelled: bool
    plans: dict[Case, Sized] = field(default_factory=dict)

    def plan(self, case: Case) -> Sized:
        """Made once for equal cases."""
        found = self.plans.get(case)
        if found is None:
            found = size(case, self.experience)
            if len(self.plans) < MOST_PLANS:
                self.plans[case] = found
        return found


Kinds = dict[Kinship, _Kind]
"""What the jobs of one call share."""


async def sized(
    services: Services,
    specification: Specification,
    registered: Mapping[str, Json] | None,
    policy: SubmitPolicy,
    kinds: Kinds | None = None,
) -> Specification:
    """The specification with its resources, what a run should take, and why. `registered`: facts of its data set;
    `kinds`: those that the same call has met.

    Raises Invalid where the template asks for more than the largest node has, and nothing is known that would do.
    """
    kin = specification.kin
    kind = None if kinds is None else kinds.get(kin)
    if kind is None:
        kind = await _kind(services, kin, registered, modelled=is_modelled(specification.template))
        if kinds is not None:
            kinds[kin] = kind
    plan = kind.plan(_case(specification, kind, policy.open_to(specification.request.node_selector)))
    if plan.sizing.source == TEMPLATE and (misfit := largest_misfit(plan.resources, policy.capacities)):
        raise Invalid(_too_large(plan.resources, misfit))
    return replace(specification, resources=plan.resources, expected=plan.duration, sizing=plan.sizing)


def _case(specification: Specification, kind: _Kind, capacities: tuple[Vector, ...]) -> Case:
    template, gpu = specification.template, specification.resources.gpu > 0
    return Case(
        requirement=specification.resources,
        asked=bool(specification.request.resources),
        stated=any(dimension in template.stated for dimension in SIZED),
        features=features_of(specification.shown_parameters, kind.facts, gpu=gpu) if kind.modelled else None,
        timeout=specification.timeout,
        capacities=capacities,
    )


def _too_large(asked: Vector, misfit: Mapping[str, float]) -> list[FieldError]:
    units = asked.units()
    message = (
        "the template asks for {asked:g}, which is more than the largest node has ({limit:g}); ask for at most that"
    )
    return [
        FieldError(f"resources.{name}", message.format(asked=units[name], limit=limit))
        for name, limit in misfit.items()
    ]


async def _kind(services: Services, kin: Kinship, registered: Mapping[str, Json] | None, *, modelled: bool) -> _Kind:
    facts = facts_of(kin.dataset, registered) if modelled else NOTHING_KNOWN

    async def read() -> _Kind:
        levels = await _levels(services, kin, modelled=modelled)
        seen = facts if facts.complete else _seen(levels[0]) or facts
        return _Kind(
            seen, experience_of(levels, services.clock.now(), modelled=modelled, sized=seen.complete), modelled
        )

    return await services.recent.get(("kind", kin, modelled, facts), read, MAX_AGE)


def _seen(alike: Level) -> TableFacts | None:
    """The data as the newest run on it has seen it."""
    seen = (run.features for run in alike.runs if run.features is not None and not run.features.assumed)
    newest = next(seen, None)
    return None if newest is None else TableFacts(newest.rows, newest.columns, newest.continuous)


async def _levels(services: Services, kin: Kinship, *, modelled: bool) -> list[Level]:
    """From fine to coarse, as far as the first group that can speak of everything."""
    finest, *wider = kin.groups()
    found = [await _finest(services, finest, await _shared(services, wider[0]))]
    for group in wider:
        if is_enough(found[-1], modelled=modelled):
            break
        found.append(await _shared(services, group))
    return found


async def _finest(services: Services, group: Group, wider: Level) -> Level:
    """Runs on the same data: among those of the wider group where that is there as a whole, else read by themselves."""
    if not wider.whole:
        return await _read(services, group)
    dataset = group.values["dataset"]
    return Level(group.name, tuple(run for run in wider.runs if run.dataset == dataset), whole=True)


async def _shared(services: Services, group: Group) -> Level:
    """Of all kinds of jobs in the group."""
    return await services.histories.get(tuple(group.values.items()), lambda: _read(services, group), MAX_AGE)


async def _read(services: Services, group: Group) -> Level:
    runs = await services.runs.alike(group, MOST_RUNS)
    found: list[Residual] = [residual for run in runs if (residual := residual_of(run)) is not None]
    return Level(group.name, tuple(found), whole=len(runs) < MOST_RUNS)
