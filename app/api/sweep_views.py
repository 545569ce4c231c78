"""Sweeps and their leaderboards as they are answered. Pure."""

from __future__ import annotations

from typing import Any

from app.api.routing import PREFIX
from app.domain.batches import Batch, BatchKind, Counts
from app.domain.job import Job
from app.domain.states import JobStatus
from app.domain.sweeps.definition import definition_from
from app.domain.sweeps.space import Dimension
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import SUCCESSES, Trial
from app.operations.sweeps.leaderboard import Leaderboard
from app.operations.sweeps.submitting import SweepSubmitted

View = dict[str, Any]
LIVE = {JobStatus.SCHEDULED: "running", JobStatus.RUNNING: "running", JobStatus.PAUSED: "paused"}


def submitted_sweep_view(submitted: SweepSubmitted) -> View:
    """The answer to a submit: the shape of a batch's, with the trials that are asked at once."""
    batch = submitted.batch
    return {
        "batch_id": batch.id,
        "name": batch.name,
        "status": batch.status,
        "message": "Sweep submitted successfully",
        "job_ids": submitted.job_ids,
        "counts": Counts({JobStatus.SUBMITTED: len(submitted.job_ids)}).tell(),
    }


def sweep_view(batch: Batch) -> View | None:
    """What is searched and what was found; None for a list of jobs, and for what cannot be read. Parameters are not
    told: they may be secret."""
    if batch.kind is not BatchKind.SWEEP:
        return None
    try:
        sweep = definition_from(batch.spec or {}).sweep
    except (KeyError, TypeError, ValueError):
        return None
    return {**_searched(sweep), "space": {d.name: _dimension(d) for d in sweep.space.dimensions}, "best": _found(batch)}


def _searched(sweep: Sweep) -> View:
    stopping = sweep.early_stopping
    return {
        "strategy": sweep.strategy,
        "objective": sweep.objective,
        "direction": sweep.direction,
        "max_trials": sweep.max_trials,
        "max_parallel": sweep.max_parallel,
        "seed": sweep.seed,
        "reproducible": sweep.reproducible,
        "goal": sweep.goal,
        "early_stopping": None if stopping is None else {"eta": stopping.eta, "min_step": stopping.min_step},
    }


def _dimension(d: Dimension) -> View:
    """As it was asked; what was not said is left out."""
    bounds = {"values": d.values} if d.kind == "categorical" else {"low": d.low, "high": d.high}
    said = {name: value for name in ("step", "count") if (value := getattr(d, name)) is not None}
    log = {"log": True} if d.log else {}
    when = {"when": {c.parent: c.values for c in d.when}} if d.when else {}
    return {"type": d.kind, **bounds, **said, **log, **when}


def _found(batch: Batch) -> View | None:
    """The best trial, as it was known when the sweep ended."""
    best: View | None = (batch.outcome or {}).get("best")
    return best


def leaderboard_view(found: Leaderboard, next_cursor: str | None) -> View:
    """A page of the trials in their order, and what holds for all of them."""
    sweep = found.sweep
    ended = [trial.end for trial in found.trials if trial.end is not None]
    rows = enumerate(found.rows, start=found.begin + 1)
    return {
        "batch_id": found.batch.id,
        "status": found.batch.status,
        "strategy": sweep.strategy,
        "objective": sweep.objective,
        "direction": sweep.direction,
        "max_trials": sweep.max_trials,
        "asked": len(found.trials),
        "ended": len(ended),
        "without_value": sum(end.value is None and end.outcome in SUCCESSES for end in ended),
        "best": _best(found),
        "importance": found.importance,
        "trials": [_row(trial, rank, found.jobs.get(trial.job_id)) for rank, trial in rows],
        "next_cursor": next_cursor,
    }


def _row(trial: Trial, place: int, job: Job | None) -> View:
    end = trial.end
    value = None if end is None else end.value
    return {
        "rank": None if value is None else place,
        "number": trial.number,
        "job_id": trial.job_id,
        "state": _live(job) if end is None else end.outcome,
        "parameters": trial.values,
        "value": value,
        "step": None if end is None else end.step,
        "rung": max(trial.rungs, default=None),
        "cluster_seconds": 0.0 if end is None else end.cluster_seconds,
    }


def _live(job: Job | None) -> str:
    return "waiting" if job is None else LIVE.get(job.status, "waiting")


def _best(found: Leaderboard) -> View | None:
    best, model = found.best, found.model
    if best is None or best.end is None:
        return None
    return {
        "job_id": best.job_id,
        "number": best.number,
        "value": best.end.value,
        "parameters": best.values,
        "model": None if model is None else f"{best.job_id}/{model.name}",
        "model_url": None if model is None else f"{PREFIX}/jobs/{best.job_id}/artifacts/{model.name}",
    }
