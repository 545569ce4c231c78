"""The plan of a job's resources, with its evidence: one pure function of what it is and of what is known.

What was asked for is obeyed. Else memory and cores are sized, on a grid of few amounts and within the largest node;
GPUs and storage are the template's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, inf, log

from app.domain.durations import Duration
from app.domain.resources import Vector
from app.domain.sizing import rules
from app.domain.sizing.evidence import REQUEST, TEMPLATE, Alternative, Sizing
from app.domain.sizing.features import Features
from app.domain.sizing.grid import cores_up, memory_down, memory_up
from app.domain.sizing.history import Experience, Known
from app.domain.sizing.priors import prior_of
from app.domain.sizing.rules import Amount, Foreknown

LEAST_MIB = 256
"""No job is sized smaller, unless its template is."""


@dataclass(frozen=True, slots=True)
class Case:
    """A job to be sized. `requirement`: the request over the template; `asked`: the request names resources; `stated`:
    a user wrote the template's memory or cores; `features`: None where no prior could be; `timeout` in seconds;
    `capacities`: of the nodes that there are or may be, of which there are many, so that they are only compared."""

    requirement: Vector
    asked: bool
    stated: bool
    features: Features | None
    timeout: float
    capacities: tuple[Vector, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Sized:
    """What the job is to get, how long a run should take, and why."""

    resources: Vector
    duration: Duration
    sizing: Sizing


def size(case: Case, known: Experience) -> Sized:
    """The plan of this job."""
    job = _foreknown(case)
    amount = rules.memory(job, known.memory)
    proposed = _proposed(case, job, amount, known)
    source = REQUEST if case.asked else amount.source
    resources = case.requirement if case.asked else proposed
    sizing = Sizing(
        source=source,
        resources=resources,
        suggestion=proposed if case.asked and proposed != resources and amount.source != TEMPLATE else None,
        prior=job.prior,
        features=case.features,
        quantile=amount.quantile,
        margin=amount.margin,
    )
    if known.memory is not None:
        sizing = _with_evidence(sizing, case, job, proposed, known.memory, known)
    duration = rules.duration(job, known.seconds, resources.cpu_millicores / 1_000, case.timeout)
    return Sized(resources, duration, sizing)


def _foreknown(case: Case) -> Foreknown:
    prior = None if case.features is None else prior_of(case.features)
    unknown = prior is None or (case.features is not None and bool(case.features.assumed))
    needed = case.requirement
    return Foreknown(
        prior,
        case.features,
        needed.memory_mib,
        needed.cpu_millicores / 1_000,
        by_word=unknown or (case.stated and not case.asked),
    )


def _proposed(case: Case, job: Foreknown, amount: Amount, known: Experience) -> Vector:
    """What sizing would give, within the largest node."""
    if amount.source == TEMPLATE:
        return case.requirement if case.stated or case.asked else fitted(case.requirement, case.capacities)
    least = min(LEAST_MIB, case.requirement.memory_mib) if not case.asked else LEAST_MIB
    memory = memory_up(max(amount.value, least))
    cores = cores_up(rules.cores(job, known.cores, amount.source))
    return fitted(replace(case.requirement, memory_mib=memory, cpu_millicores=cores), case.capacities)


def fitted(wanted: Vector, capacities: tuple[Vector, ...]) -> Vector:
    """The same within one node: of those that hold the rest, the one with enough memory that has most cores, else the
    one with most memory. As it is where no node is known, or none holds the rest."""
    rest = replace(wanted, cpu_millicores=0, memory_mib=0)
    nodes = [node for node in capacities if rest.fits(node)]
    if not nodes or any(wanted.fits(node) for node in nodes):
        return wanted
    best = max(nodes, key=lambda n: (min(n.memory_mib, wanted.memory_mib), n.cpu_millicores))
    return replace(
        wanted,
        memory_mib=min(wanted.memory_mib, best.memory_mib),
        cpu_millicores=min(wanted.cpu_millicores, best.cpu_millicores),
    )


def _with_evidence(
    sizing: Sizing, case: Case, job: Foreknown, proposed: Vector, memory: Known, known: Experience
) -> Sizing:
    return replace(
        sizing,
        group=memory.group,
        runs=memory.runs,
        last_run_at=memory.last_run_at,
        alternatives=_alternatives(case, job, proposed, memory),
        outcome=known.outcome,
    )


def _alternatives(case: Case, job: Foreknown, proposed: Vector, memory: Known) -> tuple[Alternative, ...]:
    """What would be, a step of the grid below and above it; each with its risk."""
    amounts = (memory_down(proposed.memory_mib), proposed.memory_mib, memory_up(proposed.memory_mib + 1))
    most = max((node.memory_mib for node in case.capacities), default=inf)
    base = log(job.scale.memory_mib * exp(memory.shift(job.features)))
    return tuple(
        Alternative(replace(proposed, memory_mib=mib), memory.risk(log(mib) - base))
        for mib in amounts
        if 0 < mib <= most
    )
