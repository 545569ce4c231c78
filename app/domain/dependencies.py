"""May a job with dependencies start, must it end, or does it wait? Pure: how the parents ended in, verdict out.

A dependency type is a rule of two parts: in which ends a parent counts for it, and whether every parent must end so or
one is enough. All else follows: where every parent must, the first other end makes it hopeless; where one is enough,
only the last. Jobs and the steps of workflows are judged by the same rules, and the table in `docs/workflows.md` is
made by asking them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from app.domain.job import DependencyType, Job
from app.domain.states import TERMINAL


class End(StrEnum):
    """Where a parent is. SKIPPED: the step of a workflow that was not to run; a job never is."""

    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"


class Rule(NamedTuple):
    """When a dependency is met: `every` parent, else one, has come to one of these `ends`. `awaits` says it for people,
    after "waits for a, b"; `broken` why it can no longer be met, after the name of a parent."""

    every: bool
    ends: frozenset[End]
    awaits: str
    broken: str


RULES: Mapping[DependencyType, Rule] = {
    DependencyType.ALL_COMPLETE: Rule(True, frozenset({End.COMPLETED}), "to complete", "did not complete"),
    DependencyType.ANY_COMPLETE: Rule(
        False, frozenset({End.COMPLETED}), "until one of them completes", "did not complete, nor did any other"
    ),
    DependencyType.ALL_FINISHED: Rule(True, frozenset(End) - {End.OPEN}, "to end", "did not end"),
    DependencyType.NONE_FAILED: Rule(
        True, frozenset({End.COMPLETED, End.SKIPPED}), "to end without a failure", "did not complete"
    ),
    DependencyType.ANY_FAILED: Rule(
        False, frozenset({End.FAILED, End.TIMEOUT}), "until one of them fails", "did not fail, nor did any other"
    ),
}


@dataclass(frozen=True, slots=True)
class Waits:
    """Parents are still open; `open` names them."""

    open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Met:
    """The dependency is met."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """It can no longer be met. `cause` is where that began: of a job's parents, the first ancestor that ended
    otherwise. `parents`: those that ended otherwise, the one that weighs most first."""

    cause: str
    parents: tuple[str, ...] = ()


Verdict = Waits | Met | Hopeless


def decide(kind: DependencyType, parents: Mapping[str, End]) -> Verdict:
    """The verdict by where each parent is, in the order in which they are named. Without parents there is nothing to
    wait for. Of several that make it hopeless one that ended badly weighs more than one that was skipped."""
    rule = RULES[kind]
    still_open = tuple(parent for parent, end in parents.items() if end is End.OPEN)
    others = _by_weight(parent for parent in parents.items() if parent[1] not in rule.ends | {End.OPEN})
    enough = not parents or any(end in rule.ends for end in parents.values())
    if rule.every and others:
        return Hopeless(others[0], others)
    if still_open and (rule.every or not enough):
        return Waits(still_open)
    return Met() if enough else Hopeless(others[0], others)


def _by_weight(parents: Iterable[tuple[str, End]]) -> tuple[str, ...]:
    return tuple(parent for parent, _ in sorted(parents, key=lambda each: each[1] is End.SKIPPED))


def judge(job: Job, parents: Mapping[str, Job]) -> Verdict:
    """The verdict on `job` from its parents."""
    return judge_by(job.dependency_type, job.dependencies, parents)


def judge_by(kind: DependencyType, named: Iterable[str], parents: Mapping[str, Job]) -> Verdict:
    """The verdict on whoever names these parents with that type."""
    verdict = decide(kind, {parent: end_of(parents.get(parent)) for parent in named})
    if isinstance(verdict, Hopeless) and (parent := parents.get(verdict.cause)) is not None:
        return Hopeless(first_cause(parent), verdict.parents)
    return verdict


def end_of(job: Job | None) -> End:
    """Where a job is as a parent. One that is missing (deleted by retention) neither completed nor failed, as far as
    anybody knows: it counts as cancelled."""
    if job is None:
        return End.CANCELLED
    return End(job.status.value) if job.status in TERMINAL else End.OPEN


def first_cause(parent: Job) -> str:
    """The ancestor where the failure began: the parent, or what the parent itself names."""
    last = parent.history[-1] if parent.history else None
    if last is not None and last.reason == "dependency_failed" and last.detail:
        return last.detail
    return parent.id


def why_broken(kind: DependencyType, cause: str) -> str:
    """Why a dependency can no longer be met, for people."""
    return f"dependency {cause} {RULES[kind].broken} ({kind})"


OUTCOMES: Mapping[type, str] = {Met: "runs", Waits: "waits", Hopeless: "can no longer run"}
"""What a verdict means, as the table says it."""


def outcome(kind: DependencyType, *ends: End) -> str:
    """What becomes of a child whose parents are there: a cell of the table."""
    return OUTCOMES[type(decide(kind, {f"job_{n}": end for n, end in enumerate(ends)}))]


def as_markdown() -> str:
    """The table for `docs/workflows.md`: each type by the end of one parent, alone and beside one that is open."""
    return "\n\n".join(
        f"{title}\n\n| type | {' | '.join(End)} |\n|---|{'---|' * len(End)}\n"
        + "\n".join(
            f"| `{kind}` | {' | '.join(outcome(kind, end, *beside) for end in End)} |" for kind in DependencyType
        )
        for title, beside in (
            ("A child whose only parent is", ()),
            ("A child of two parents, of which one is OPEN and the other is", (End.OPEN,)),
            ("A child of two parents, of which one is COMPLETED and the other is", (End.COMPLETED,)),
        )
    )
