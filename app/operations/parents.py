"""What is refused of the parents that somebody names: those that do not exist, and those for which it is too late."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.domain.dependencies import Hopeless, Verdict, judge_by
from app.domain.errors import FieldError, Invalid
from app.domain.job import DependencyType, Job

Places = Mapping[str, str]
"""By the id of a parent: where in the request it is named."""


def places_of(path: str, named: Sequence[str]) -> Places:
    """Each in a list at that path."""
    return {parent: f"{path}[{n}]" for n, parent in enumerate(named)}


def unknown_errors(places: Places, found: Collection[str]) -> list[FieldError]:
    """One for each parent that does not exist."""
    return [FieldError(path, f"there is no job {parent}") for parent, path in places.items() if parent not in found]


def refuse_unknown(places: Places, found: Collection[str]) -> None:
    """Raises Invalid (`unknown_job`)."""
    if errors := unknown_errors(places, found):
        raise Invalid(errors, code="unknown_job")


def hopeless_errors(
    kind: DependencyType, verdict: Verdict, found: Mapping[str, Job], places: Places, otherwise: str
) -> list[FieldError]:
    """One for each parent that makes it impossible; `otherwise`: the path of those that the request does not name."""
    if not isinstance(verdict, Hopeless):
        return []
    remedy = "leave it out" if kind is DependencyType.ANY_FAILED else "retry it, or leave it out"
    named = sorted((places.get(parent, otherwise), parent) for parent in verdict.parents)
    return [
        FieldError(path, f"{parent} {_end(found.get(parent))}, so {kind} cannot be met; {remedy}")
        for path, parent in named
    ]


def _end(parent: Job | None) -> str:
    return "is gone" if parent is None else f"ended {parent.status}"


def verdict_on_new(
    kind: DependencyType, named: Sequence[str], found: Mapping[str, Job], places: Places, otherwise: str
) -> Verdict:
    """The verdict on one that is about to wait for these. Raises Invalid (`dependency_failed`) where it is too late."""
    verdict = judge_by(kind, named, found)
    if errors := hopeless_errors(kind, verdict, found, places, otherwise):
        raise Invalid(errors, code="dependency_failed")
    return verdict
