"""From a prior and what is known of runs alike to amounts: memory, cores, seconds.

    memory = prior · exp(Q 0.95) · (1 + 1/n)         n < 5: prior · max(1.3 · exp(max), 0.5)      n = 0: prior · 1.5
    cores  = prior · exp(Q 0.9), up to the grid
    seconds: prior · exp(Q 0.5), prior · exp(Q 0.9), mean; n < 5: the mean of the last two

What a template asks for stands in for a prior where there is none, where the size of the data is not known, and where a
user wrote it: five runs outweigh it, fewer only raise it. Source: design, scheduling section 6, whose margin is
1.05 + 1/n without the grid; rounding up to the grid adds a tenth in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from app.domain.durations import Duration
from app.domain.sizing.evidence import HISTORY, PRIOR, TEMPLATE
from app.domain.sizing.features import Features
from app.domain.sizing.history import ENOUGH, OF_CORES, OF_MEMORY, Known
from app.domain.sizing.priors import NO_PRIOR, Prior

UNSEEN_MARGIN = 1.5
"""Over a prior that no run has confirmed."""
FEW_MARGIN = 1.3
"""Over the largest of few runs."""
LEAST_OF_PRIOR = 0.5
"""Few runs lower the prior by no more than half."""
PRIOR_MEAN, PRIOR_CAUTIOUS = 1.5, 4.7
"""Mean, and what nine in ten stay below, over what a prior foretells of seconds (measured for the design)."""


@dataclass(frozen=True, slots=True)
class Foreknown:
    """What is known of a job without any run: its prior and features, where there are, and what its template asks for
    (MiB, cores). `by_word`: the template's amounts stand in for the prior."""

    prior: Prior | None
    features: Features | None
    template_mib: float
    template_cores: float
    by_word: bool

    @property
    def scale(self) -> Prior:
        """What residuals are multiplied with."""
        return self.prior or NO_PRIOR


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount, where it came from, and the quantile and margin that led to it."""

    value: float
    source: str
    quantile: float | None = None
    margin: float | None = None


def memory(job: Foreknown, known: Known | None) -> Amount:
    """MiB, before the grid."""
    unseen = _unseen_memory(job)
    if known is None:
        return unseen
    if known.runs >= ENOUGH:
        return _of_many(job, known)
    few = FEW_MARGIN * exp(known.most)
    value = job.scale.memory_mib * (few if known.runs == 0 else max(few, LEAST_OF_PRIOR))
    if (known.runs == 0 or job.by_word) and value <= unseen.value:
        return unseen
    return Amount(value, HISTORY, None, FEW_MARGIN)


def _unseen_memory(job: Foreknown) -> Amount:
    if job.by_word or job.prior is None:
        return Amount(job.template_mib, TEMPLATE)
    return Amount(job.prior.memory_mib * UNSEEN_MARGIN, PRIOR, None, UNSEEN_MARGIN)


def _of_many(job: Foreknown, known: Known) -> Amount:
    margin = 1 + 1 / known.runs
    ratio = exp(known.quantile(OF_MEMORY) + known.shift(job.features)) * margin
    if known.own is not None:
        ratio = max(ratio, FEW_MARGIN * exp(known.own))
    return Amount(job.scale.memory_mib * ratio, HISTORY, OF_MEMORY, margin)


def cores(job: Foreknown, known: Known | None, source: str) -> float:
    """Cores, before the grid, where the memory came from `source`."""
    if source == TEMPLATE:
        return job.template_cores
    if source == HISTORY and known is not None and (known.runs >= ENOUGH or not job.by_word):
        return job.scale.cores * exp(known.quantile(OF_CORES) + known.shift(job.features))
    return job.template_cores if job.by_word or job.prior is None else job.prior.cores


def duration(job: Foreknown, known: Known | None, on_cores: float, timeout: float) -> Duration:
    """What a run on so many cores should take; never more than its time limit (seconds)."""
    prior = job.scale.seconds_on(on_cores)
    if known is None:
        if job.prior is None or job.features is None or job.features.assumed:
            return Duration(timeout, timeout, timeout, "timeout")
        return _capped(timeout, (prior, PRIOR_MEAN * prior, PRIOR_CAUTIOUS * prior), PRIOR, None, 0)
    prior *= exp(known.shift(job.features))
    if known.runs >= ENOUGH:
        times = (exp(known.quantile(0.5)), known.mean_ratio(), exp(known.quantile(0.9)))
    else:
        # The mean of the last two beats what users say (Tsafrir, Etsion, Feitelson, TPDS 2007).
        mean = sum(map(exp, known.latest)) / len(known.latest)
        times = (mean, mean, FEW_MARGIN * exp(known.most))
    return _capped(timeout, tuple(prior * ratio for ratio in times), HISTORY, known.group, known.runs)


def _capped(timeout: float, times: tuple[float, ...], source: str, group: str | None, runs: int) -> Duration:
    median, mean, cautious = (min(each, timeout) for each in times)
    return Duration(median, mean, cautious, source, group, runs)
