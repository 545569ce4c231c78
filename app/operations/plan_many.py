"""Plan many requests that come together: what several of them name is looked up once, and all that is wrong with any is
told with its place. Others get their turn meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from app.domain.dependencies import Verdict, judge_by
from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.job import Job
from app.domain.records import Dataset
from app.domain.specification import JobRequest, Specification, SubmitPolicy, specify
from app.domain.templates import Template
from app.operations.parents import hopeless_errors, places_of, unknown_errors
from app.operations.plan import policy_of, reference_errors, registered, template_of
from app.operations.sizing import Kinds, sized
from app.services import Services

T = TypeVar("T")
TURN = 25
"""Jobs that are decided before others get their turn: some milliseconds."""


class Planning:
    """Plans requests of one call; remembers what they have in common."""

    def __init__(self, services: Services, policy: SubmitPolicy) -> None:
        self._services, self._policy = services, policy
        self._templates: dict[str, Template] = {}
        self._references: dict[tuple[str, str, str], tuple[Dataset | None, list[FieldError]]] = {}
        self._kinds: Kinds = {}

    async def plan(self, request: JobRequest) -> Specification:
        """As `app.operations.plan.plan`."""
        if request.template not in self._templates:
            self._templates[request.template] = await template_of(self._services, request.template)
        specification = specify(request, self._templates[request.template], self._policy)
        dataset, errors = await self._references_of(specification)
        if errors:
            raise Invalid(errors)
        facts = None if dataset is None else dataset.facts
        return await sized(self._services, specification, facts, self._policy, self._kinds)

    async def _references_of(self, specification: Specification) -> tuple[Dataset | None, list[FieldError]]:
        """The registered data set that it reads, and what is wrong with what it names."""
        given = specification.parameters
        named = (specification.template.id, str(given.get("dataset_name")), str(given.get("model")))
        if named not in self._references:
            known = await registered(self._services, specification)
            self._references[named] = known, await reference_errors(self._services, specification, known)
        return self._references[named]


async def planning(services: Services) -> Planning:
    """By what the settings and the nodes say now."""
    return Planning(services, await policy_of(services))


async def plan_all(plans: Planning, requests: Sequence[JobRequest], path: str) -> list[Specification]:
    """One for each. Raises Invalid with up to a hundred faults, `path[n]` before the path of each."""
    faults: list[FieldError] = []
    codes: set[str] = set()
    specifications = []
    for n, request in enumerate(requests):
        try:
            specifications.append(await plans.plan(request))
        except Invalid as invalid:
            codes.add(invalid.code)
            faults += placed(invalid.errors, f"{path}[{n}]")
        if len(faults) >= MOST_ERRORS:
            break
        await breathe(n)
    if faults:
        raise Invalid(faults, codes.pop() if len(codes) == 1 else None)
    return specifications


async def verdicts_on_all(requests: Sequence[JobRequest], found: dict[str, Job], path: str) -> list[Verdict]:
    """What the parents that the requests name, as found, say of each. Raises Invalid as a submit does, with the place
    of each."""
    unknown: list[FieldError] = []
    hopeless: list[FieldError] = []
    verdicts = []
    for n, request in enumerate(requests):
        kind, named = request.dependency_type, request.dependencies
        places = places_of("dependencies", named)
        verdicts.append(judge_by(kind, named, found))
        unknown += placed(unknown_errors(places, found), f"{path}[{n}]")
        hopeless += placed(hopeless_errors(kind, verdicts[-1], found, places, "dependency_type"), f"{path}[{n}]")
        await breathe(n)
    if unknown:
        raise Invalid(unknown, code="unknown_job")
    if hopeless:
        raise Invalid(hopeless, code="dependency_failed")
    return verdicts


def placed(errors: Iterable[FieldError], place: str) -> list[FieldError]:
    """These faults of a part of the request, as faults of the whole."""
    return [FieldError(f"{place}.{e.path}" if e.path else place, e.message, e.nearest) for e in errors]


async def breathe(n: int) -> None:
    """Let others have their turn, each so many steps."""
    if n % TURN == TURN - 1:
        await asyncio.sleep(0)


async def in_parts(items: Sequence[T], size: int, do: Callable[[Sequence[T]], Awaitable[object]]) -> None:
    """`do` it with so many at a time; between two parts others get their turn."""
    for start in range(0, len(items), size):
        await do(items[start : start + size])
        await asyncio.sleep(0)
