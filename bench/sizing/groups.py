"""Synthetic groups of trainings, and what rules make of them: memory allotted, wasted, and too little.

A group is one tenant's template. Its runs need what the prior says, times a factor of the group that the prior does not
know (median × 1.5, as measured), times noise of each run. The user asks for 1.5 to 4 times what the group needs, on its
larger data where that varies (the upper quartile). Groups go on beside each other, so that each also sees the residuals
of all others, as in the service.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import exp, log
from random import Random
from statistics import quantiles

from app.domain.resources import Vector
from app.domain.sizing.features import Features, TableFacts, features_of
from app.domain.sizing.history import Level, experience_of
from app.domain.sizing.kinship import GROUPS
from app.domain.sizing.measures import RULES, Measured, Outcome, Rule, outcome, replayed
from app.domain.sizing.plan import Case, size
from app.domain.sizing.priors import TABLE, prior_of
from app.domain.sizing.residuals import PastRun, Residual, residual_of
from bench.sizing.fits import Fit

COUNT, QUICK, RUNS = 400, 40, 60
BIAS = log(1.5) / 0.6745
"""Sigma of a log-normal factor whose median error is × 1.5."""
NOISE = (0.05, 0.4)
ASKED = (1.5, 4.0)
NODE = Vector(64_000, 512 * 1024, 8, 1_000)
START = datetime(2026, 1, 1, tzinfo=UTC)
BETWEEN = timedelta(minutes=10)
SAME, VARYING = "same data each run", "data size varies × 10"
OURS = "this rule"
BASELINES: Mapping[str, Rule | None] = {"requested": None, **RULES}
ALGORITHMS = tuple(name for name in TABLE if name != "cnn")
DRAWS = 20
KEPT = 150
"""Runs of a group that the service reads."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training that is to come: its features, and the MiB it will need."""

    features: Features
    need: float


@dataclass(slots=True)
class Series:
    """One group: its jobs in order, what its user asks for (MiB), and what became of them so far."""

    algorithm: str
    jobs: list[Job]
    asked: float
    runs: list[Residual] = field(default_factory=list)
    made: list[Measured] = field(default_factory=list)


def series(seed: int, *, varying: bool, runs: int = RUNS) -> Series:
    """A group of this seed."""
    random = Random(seed)
    algorithm = random.choice(ALGORITHMS)
    rows, columns = exp(random.uniform(log(5e5), log(1e7))), round(exp(random.uniform(log(20), log(200))))
    parameters = {"algorithm": algorithm, "n_estimators": random.choice([50, 100, 300]), "max_depth": 10}
    bias, noise = random.gauss(0.0, BIAS), random.uniform(*NOISE)

    def sized(times: float) -> Job:
        features = features_of(parameters, TableFacts(round(rows * times), columns, continuous=False))
        prior = prior_of(features)
        assert prior is not None
        return Job(features, prior.memory_mib * exp(bias))

    asked = random.uniform(*ASKED) * sized(10**0.25 if varying else 1.0).need
    jobs = []
    for _ in range(runs):
        spread = random.uniform(-0.5, 0.5)
        job = sized(10**spread if varying else 1.0)
        jobs.append(replace(job, need=job.need * exp(random.gauss(0.0, noise))))
    return Series(algorithm, jobs, asked)


def simulated(groups: Sequence[Series]) -> None:
    """Have our rule size every job, in rounds of one run a group; `made` tells what became of them."""
    everywhere: dict[str, list[Residual]] = defaultdict(list)
    for number in range(max(len(group.jobs) for group in groups)):
        now = START + number * BETWEEN
        for group in groups:
            if number < len(group.jobs):
                _run(group, group.jobs[number], everywhere[group.algorithm], now)


def _run(group: Series, job: Job, everywhere: list[Residual], now: datetime) -> None:
    allotted = float(planned(group, job, everywhere, now).memory_mib)
    for run in replayed([(allotted, job.need)], None):
        group.made.append(run)
        outcome_ = "out_of_memory" if run.killed else "completed"
        past = PastRun(outcome_, now, 60.0, Vector(1_000, round(run.allotted)), run.peak, 55.0, job.features)
        residual = residual_of(past)
        assert residual is not None
        group.runs.insert(0, residual)
        everywhere.insert(0, residual)
    del everywhere[KEPT:]


def planned(group: Series, job: Job, everywhere: Sequence[Residual], now: datetime) -> Vector:
    """What the service would give the job: the data set of a group whose data varies is new each time."""
    same = job.features.rows == group.jobs[0].features.rows
    own = tuple(group.runs)
    found = ((own if same else ()), own, own, tuple(everywhere))
    levels = [Level(", ".join(names), runs) for names, runs in zip(GROUPS, found, strict=True)]
    case = Case(Vector(2_000, 4_096, 0, 10), False, False, job.features, 3_600.0, (NODE,))
    return size(case, experience_of(levels, now, modelled=True, sized=True)).resources


def replay(fits: Sequence[tuple[str, Sequence[Fit]]]) -> dict[str, Outcome]:
    """By rule: what it would have made of real fits, those of an algorithm being a group. Their order and what their
    users ask for are drawn several times, since there are few of them."""
    drawn = []
    for draw in range(DRAWS):
        random = Random(draw)
        groups = [_of_fits(random, algorithm, own) for algorithm, own in fits]
        simulated(groups)
        drawn += groups
    return judged(drawn)


def _of_fits(random: Random, algorithm: str, fits: Sequence[Fit]) -> Series:
    jobs = [Job(fit.known, fit.peak_mib) for fit in random.sample(fits, len(fits))]
    larger = quantiles((job.need for job in jobs), n=4)[-1]
    return Series(algorithm, jobs, random.uniform(*ASKED) * larger)


def judged(groups: Sequence[Series]) -> dict[str, Outcome]:
    """By rule: what it made of all groups together."""
    found: dict[str, list[Measured]] = {OURS: [run for group in groups for run in group.made]}
    for name, rule in BASELINES.items():
        found[name] = [
            run for group in groups for run in replayed([(group.asked, job.need) for job in group.jobs], rule)
        ]
    return {name: made for name, runs in found.items() if (made := outcome(runs)) is not None}


def table(count: int = COUNT, runs: int = RUNS) -> dict[str, dict[str, Outcome]]:
    """By scenario and rule."""
    out = {}
    for name in (SAME, VARYING):
        groups = [series(seed, varying=name == VARYING, runs=runs) for seed in range(count)]
        simulated(groups)
        out[name] = judged(groups)
    return out
