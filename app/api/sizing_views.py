"""How much a job gets and why, and what its runs used of it, as answered. Pure."""

from __future__ import annotations

from typing import Any

from app.domain.durations import Duration
from app.domain.job import Attempt
from app.domain.resources import Vector
from app.domain.sizing.advice import advice, cores_used
from app.domain.sizing.evidence import Sizing
from app.domain.sizing.features import Features
from app.domain.sizing.measures import Outcome
from app.domain.sizing.priors import Prior
from app.domain.timestamps import optional_rfc3339 as moment
from app.domain.timestamps import rfc3339

View = dict[str, Any]
MIB_PER_GB = 1_024


def sizing_view(sizing: Sizing | None, expected: Duration) -> View | None:
    """The evidence; None of a job that was submitted before there was any."""
    if sizing is None:
        return None
    return {
        "resources": sizing.resources.units(),
        "duration": {"q50": round(expected.median, 3), "q90": round(expected.cautious, 3)},
        "source": sizing.source,
        "suggestion": _units(sizing.suggestion),
        "group": sizing.group,
        "runs": sizing.runs,
        "last_run_at": moment(sizing.last_run_at),
        "prior": _prior(sizing.prior, sizing.features),
        "quantile": sizing.quantile,
        "margin": _rounded(sizing.margin),
        "assumed": sizing.assumed,
        "alternatives": [
            {"resources": other.resources.units(), "oom_risk": round(other.oom_risk, 3)}
            for other in sizing.alternatives
        ],
        "outcome_of_group": _outcome(sizing.outcome),
    }


def _prior(prior: Prior | None, features: Features | None) -> View | None:
    if prior is None or features is None:
        return None
    return {
        "cpu_cores": prior.cores,
        "memory_gb": _gb(prior.memory_mib),
        "seconds": round(prior.seconds, 3),
        "gpu_memory_gb": _gb(prior.gpu_memory_mib),
        "features": {name: value for name, value in features.parts().items() if name != "assumed"},
    }


def _outcome(outcome: Outcome | None) -> View | None:
    if outcome is None:
        return None
    return {"oom_rate": round(outcome.oom_rate, 3), "waste": _rounded(outcome.waste)}


def attempt_view(attempt: Attempt) -> View:
    """A run that ended: what it was allotted beside what it used."""
    advised = advice(attempt)
    return {
        "attempt": attempt.attempt,
        "run_no": attempt.run_no,
        "node_id": attempt.node_id,
        "started_at": moment(attempt.started_at),
        "finished_at": rfc3339(attempt.finished_at),
        "outcome": attempt.outcome,
        "peak_memory_mib": attempt.peak_memory_mib,
        "cpu_seconds": attempt.cpu_seconds,
        "asked": _units(attempt.asked),
        "used": {"cpu_cores": _rounded(cores_used(attempt)), "memory_gb": _gb(attempt.peak_memory_mib)},
        "suggestion": None if advised is None else _advice(advised.resources, advised.summary),
    }


def _advice(resources: Vector, summary: str) -> View:
    return {"resources": resources.units(), "summary": summary}


def _units(vector: Vector | None) -> View | None:
    return None if vector is None else {**vector.units()}


def _gb(mib: float | None) -> float | None:
    return None if mib is None else round(mib / MIB_PER_GB, 4)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
