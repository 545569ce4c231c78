"""The leaderboard of a sweep: its trials ranked, the best with its model, and which parameters matter.

The ends of trials are recorded by whoever drives the sweep, within a moment. Of a sweep that has ended nobody drives
any more, so that whoever asks for its leaderboard records what is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from app.domain.batches import Batch, BatchKind
from app.domain.errors import Conflict, NotFound
from app.domain.job import Job
from app.domain.records import ArtifactInfo
from app.domain.sweeps.ranking import best_of, ranked
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Outcome, Trial
from app.operations.sweeps.searching import Search, catch_up, read
from app.services import Services

EXPLAINED_FROM, EXPLAINED_EVERY = 20, 10
"""Completed trials before parameters are weighed, and until they are weighed anew."""
MODEL = "model"
"""The name, without its ending, under which a trial keeps its model."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """`rows`: a page of all trials in their order, the first at `begin`; `jobs`: those of trials that have not ended;
    `model`: of the best; `importance`: None where too few have completed, or nobody here can tell."""

    batch: Batch
    sweep: Sweep
    trials: tuple[Trial, ...]
    begin: int
    rows: tuple[Trial, ...]
    jobs: Mapping[str, Job]
    best: Trial | None
    model: ArtifactInfo | None
    importance: Mapping[str, float] | None

    @property
    def next_begin(self) -> int | None:
        """Where the next page begins; None when this is the last."""
        after = self.begin + len(self.rows)
        return after if after < len(self.trials) else None


async def leaderboard(services: Services, batch_id: str, begin: int, limit: int) -> Leaderboard:
    """Raises NotFound, and Conflict for a batch that is no sweep."""
    batch = await services.batches.get(batch_id)
    if batch is None:
        raise NotFound("batch", batch_id)
    if batch.kind is not BatchKind.SWEEP:
        message = f"Batch {batch_id} is a list of jobs, not a sweep; read its jobs by GET /jobs?batch_id={batch_id}."
        raise Conflict(message, code="not_a_sweep")
    search = Search.of(batch)
    await (catch_up if batch.ended else read)(services, search)
    sweep, trials = search.definition.sweep, search.book.trials
    best = best_of(sweep, trials)
    return Leaderboard(
        batch=batch,
        sweep=sweep,
        trials=tuple(trials),
        begin=begin,
        rows=tuple(ranked(sweep, trials)[begin : begin + limit]),
        jobs=search.jobs,
        best=best,
        model=None if best is None else await _model_of(services, best),
        importance=await _importance(services, sweep, trials),
    )


async def _model_of(services: Services, trial: Trial) -> ArtifactInfo | None:
    kept = await services.artifacts.list(trial.job_id)
    models = [info for info in kept if PurePath(info.name).stem == MODEL and not info.name.endswith(".json")]
    return next(iter(sorted(models, key=lambda info: info.name)), None)


async def _importance(services: Services, sweep: Sweep, trials: list[Trial]) -> Mapping[str, float] | None:
    """From the first so many trials that completed, by number: so that it is worked out now and then, not each time."""
    completed = [t for t in trials if t.end and t.end.outcome is Outcome.COMPLETED and t.end.value is not None]
    count = len(completed) - len(completed) % EXPLAINED_EVERY
    if count < EXPLAINED_FROM:
        return None
    return await services.sampler.importance(sweep.space, completed[:count])
