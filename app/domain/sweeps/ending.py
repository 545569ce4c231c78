"""How a trial ended, from its job and the points that it told of the objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.job import Job
from app.domain.json import Json
from app.domain.outputs import outputs_of
from app.domain.records import MetricPoint
from app.domain.sweeps.ranking import Best, best_point, best_rung
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import SUCCESSES, Outcome, Trial, TrialEnd

TOLD_KEPT = 20
"""Names under which one told something else than the objective."""


def trial_end(sweep: Sweep, trial: Trial, job: Job, points: Sequence[MetricPoint]) -> TrialEnd:
    """Of a job that has ended. What a failed one told before it failed is no value of it. Where the last run told
    nothing, since an earlier one was lost, the values at its rungs count."""
    assert job.terminal, job.status
    outcome = Outcome.PRUNED if job.pruned else Outcome(job.status.value.lower())
    best: Best | None = None
    if outcome in SUCCESSES:
        best = best_point(sweep, points, said_by(job)) or best_rung(sweep, trial.rungs)
    return TrialEnd(
        outcome=outcome,
        at=job.finished_at or job.history[-1].at,
        value=None if best is None else best[0],
        step=None if best is None else best[1],
        cluster_seconds=cluster_seconds(job),
        fingerprint=None if job.error is None else job.error.fingerprint or job.error.code,
        told=told_instead(sweep, job, points) if outcome in SUCCESSES and best is None else (),
    )


def told_instead(sweep: Sweep, job: Job, points: Sequence[MetricPoint]) -> tuple[str, ...]:
    """The names under which a job without a value told numbers, sorted, so many of them; or the objective alone, where
    that was told and never was a number."""
    strange = (job.result or {}).get("not_finite") or ()
    outputs = said_by(job)
    if points or sweep.objective in outputs or sweep.objective in strange:
        return (sweep.objective,)
    numbers = {name for name, said in outputs.items() if isinstance(said, int | float) and not isinstance(said, bool)}
    return tuple(sorted(numbers.union(strange))[:TOLD_KEPT])


def said_by(job: Job) -> Mapping[str, Json]:
    """What it has put out; a metric counts before an output of its name."""
    result = job.result or {}
    return outputs_of(result) | (result.get("metrics") or {})


def cluster_seconds(job: Job) -> float:
    """For how long its runs, all of them, were on a node."""
    runs = [(a.finished_at - a.started_at).total_seconds() for a in job.attempts if a.started_at is not None]
    return round(sum(runs), 3)
