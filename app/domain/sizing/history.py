"""What the runs of a kind say together: the finest group that has enough of them, and its quantiles.

Only runs that ended by themselves make a group one with enough runs, and make the margin smaller. A killed run never
lowers anything: it counts as no less than the quantile of what came before it, and takes no other's place or weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp

from app.domain.sizing.features import Features
from app.domain.sizing.kinship import JUST_LIKE_IT, OF_THE_TENANT
from app.domain.sizing.measures import Outcome, outcome
from app.domain.sizing.quantiles import Weighted, exceeding, quantile, weight, with_cut_short
from app.domain.sizing.residuals import Residual
from app.domain.sizing.trend import Trend, trend

ENOUGH = 5
"""Runs from which on quantiles are told."""
LATEST = 100
OF_MEMORY, OF_CORES = 0.95, 0.9
Pick = Callable[[Residual], float | None]


@dataclass(frozen=True, slots=True)
class Level:
    """A group of runs by its name, newest first. `whole`: there are no others."""

    group: str
    runs: tuple[Residual, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one quantity. `runs`: that ended by themselves; `values`: residuals beyond the trend, ascending,
    with their weights; `latest`: of the two newest runs; `own`: the largest of the runs just like it, where those are
    too few to stand for themselves."""

    group: str
    runs: int
    values: tuple[Weighted, ...]
    latest: tuple[float, ...]
    last_run_at: datetime
    own: float | None = None
    trend: Trend | None = None

    @property
    def most(self) -> float:
        return self.values[-1][0]

    def quantile(self, q: float) -> float:
        return quantile(self.values, q)

    def mean_ratio(self) -> float:
        """The weighted mean of observed over foretold."""
        return sum(exp(value) * w for value, w in self.values) / sum(w for _, w in self.values)

    def shift(self, features: Features | None) -> float:
        """What the trend adds for a run with these features."""
        return self.trend.of(features) if self.trend is not None and features is not None else 0.0

    def risk(self, residual: float) -> float:
        """How probable it is at most that a run exceeds this residual, the trend taken off."""
        return exceeding(self.values, residual)


@dataclass(frozen=True, slots=True)
class Experience:
    """What is known of a kind of job. `outcome`: of the group that tells of memory."""

    memory: Known | None = None
    cores: Known | None = None
    seconds: Known | None = None
    outcome: Outcome | None = None


NOTHING = Experience()


def experience_of(levels: Sequence[Level], now: datetime, *, modelled: bool, sized: bool) -> Experience:
    """What these groups (from fine to coarse, each within the next) say of a job.

    `modelled`: it has a prior; only runs with one say something of it, else only runs without. Without a prior what was
    used does not carry over to other tenants' jobs, and with data of unknown size (not `sized`) not to other data: of
    memory and cores then only the finer groups are asked.
    """
    alike = [Level(level.group, _alike(level.runs, modelled=modelled)) for level in levels]
    asked = alike if modelled and sized else alike[: JUST_LIKE_IT if modelled else OF_THE_TENANT]
    memory = _of_memory(asked, now)
    chosen = next((level for level in asked if memory is not None and level.group == memory.group), None)
    return Experience(
        memory=memory,
        cores=_of_ended(asked, _cores, now),
        seconds=_of_ended(alike, _seconds, now),
        outcome=None if chosen is None else outcome(r.measured for r in chosen.runs[:LATEST] if r.measured),
    )


def is_enough(level: Level, *, modelled: bool) -> bool:
    """Whether the group speaks of everything by itself, so that nobody need ask a coarser one."""
    runs = [run for run in _alike(level.runs, modelled=modelled) if not run.killed]
    quantities = (_memory, _cores, _seconds)
    return all(sum(pick(run) is not None for run in runs) >= ENOUGH for pick in quantities)


def _alike(runs: Sequence[Residual], *, modelled: bool) -> tuple[Residual, ...]:
    return tuple(run for run in runs if (run.features is not None) is modelled)


def _of_memory(levels: Sequence[Level], now: datetime) -> Known | None:
    """Of the tenant's groups the finest with enough completed runs, else with any; then of all tenants' the finest with
    enough; of killed runs alone, the coarsest of the tenant."""
    ended = [[run for run in level.runs if run.memory is not None and not run.killed][:LATEST] for level in levels]
    killed = [_since(ended[n], [run for run in level.runs if run.killed]) for n, level in enumerate(levels)]
    n = _chosen([len(runs) for runs in ended])
    if n is None:
        within = [n for n in range(min(OF_THE_TENANT, len(levels))) if killed[n]]
        return _memory_known(levels[within[-1]], [], killed[within[-1]], now, None) if within else None
    own = (*ended[0], *killed[0]) if n > 0 else None
    return _memory_known(levels[n], ended[n], killed[n], now, own)


def _chosen(counts: Sequence[int]) -> int | None:
    """Which of the groups, from fine to coarse, with so many runs speaks; None where nobody does."""
    for within, least in ((OF_THE_TENANT, ENOUGH), (OF_THE_TENANT, 1), (len(counts), ENOUGH), (len(counts), 1)):
        for n, count in enumerate(counts[:within]):
            if count >= least:
                return n
    return None


def _since(ended: Sequence[Residual], killed: Sequence[Residual]) -> list[Residual]:
    """Those that were killed after the oldest of the ended runs that count."""
    if len(ended) < LATEST:
        return list(killed)
    return [run for run in killed if run.at >= ended[-1].at]


def _memory_known(
    level: Level, ended: Sequence[Residual], killed: Sequence[Residual], now: datetime, own: Sequence[Residual] | None
) -> Known:
    line, left = _left(ended, _memory)
    values = [(each, weight(n, run.at, now)) for n, (run, each) in enumerate(zip(ended, left, strict=True))]
    cut = [
        (_beyond(line, run, _memory), weight(sum(r.at > run.at for r in ended), run.at, now))
        for run in reversed(killed)
    ]
    return Known(
        group=level.group,
        runs=len(ended),
        values=tuple(with_cut_short(values, cut, OF_MEMORY)),
        latest=tuple(left[:2]),
        last_run_at=max(run.at for run in (*ended[:1], *killed[:1])),
        own=max((_memory(run) or 0.0 for run in own), default=None) if own else None,
        trend=line,
    )


def _of_ended(levels: Sequence[Level], pick: Pick, now: datetime) -> Known | None:
    """Of a quantity that only runs tell of that were not killed."""
    found = [[run for run in level.runs if pick(run) is not None][:LATEST] for level in levels]
    n = _chosen([len(runs) for runs in found])
    if n is None:
        return None
    line, left = _left(found[n], pick)
    values = sorted((each, weight(at, found[n][at].at, now)) for at, each in enumerate(left))
    return Known(levels[n].group, len(left), tuple(values), tuple(left[:2]), found[n][0].at, trend=line)


def _left(runs: Sequence[Residual], pick: Pick) -> tuple[Trend | None, list[float]]:
    """The trend of the runs, and what it leaves of each; without a trend, each as it is."""
    seen = [(run.features, pick(run) or 0.0) for run in runs if run.features is not None]
    found = trend(seen) if len(seen) == len(runs) else None
    return found, [pick(run) or 0.0 for run in runs] if found is None else list(found.left)


def _beyond(line: Trend | None, run: Residual, pick: Pick) -> float:
    """The residual of a run, less what the trend foretells of it."""
    return (pick(run) or 0.0) - (line.of(run.features) if line is not None and run.features is not None else 0.0)


def _memory(run: Residual) -> float | None:
    return run.memory


def _cores(run: Residual) -> float | None:
    return run.cores


def _seconds(run: Residual) -> float | None:
    return run.seconds
