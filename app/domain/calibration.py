"""How good the service's own start estimates are, and windows that hold what they say.

A job's first estimate is frozen when it is submitted and scored when it starts: `ρ = ln((actual + 60 s) / (predicted +
60 s))`, both counted from the announcement. The window of an estimate is made of the scores of others whose wait was
predicted to be of the same order (split conformal prediction), and its width is adapted after every outcome, since
queues drift (adaptive conformal inference, Gibbs and Candès, NeurIPS 2021).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, exp, log
from typing import Any

from app.domain.priority import Priority

OFFSET = 60.0
"""Seconds added to both, so that seconds more or less at the head of the queue do not count as orders of magnitude."""
BANDS = (600.0, 3_600.0, 21_600.0)
"""Bounds in seconds between the four orders of a predicted wait."""
LATEST = 300
ENOUGH = 50
PSEUDO, WIDEST = 20, log(3.0)
"""Until there are enough scores: so many more, evenly on ± ln 3."""
MISSES = 0.2
"""Share of starts that are to fall outside: windows are to cover 80 %."""
RATE, LEAST, MOST = 0.02, 0.01, 0.5
QUANTILES = (0.1, 0.5, 0.9)
SCORED = ("inside", "early", "late")


@dataclass(frozen=True, slots=True)
class Announcement:
    """What was said of a job's start when it was submitted (`at`, Unix time), in seconds ahead. `disturbed`: what has
    happened to it since that no estimate could know, or None. `naive`: what the mean wait of its class would have
    said."""

    priority: Priority
    at: float
    start: float
    low: float
    high: float
    naive: float = 0.0
    disturbed: str | None = None

    def because(self, why: str) -> Announcement:
        """The same, overtaken by what no estimate could know."""
        return replace(self, disturbed=why)


@dataclass(frozen=True, slots=True)
class Scores:
    """The last scores of one order of waits, oldest first, and its present share of misses."""

    latest: tuple[float, ...] = ()
    alpha: float = MISSES


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes by (class, band, result), and summed pinball losses of ours and of the naive forecast, by quantile."""

    results: Mapping[tuple[str, int, str], int] = field(default_factory=dict)
    loss: tuple[float, ...] = (0.0, 0.0, 0.0)
    naive_loss: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def pinball_ratio(self) -> float | None:
        """Our loss over the naive forecast's; None before there is any."""
        return sum(self.loss) / sum(self.naive_loss) if sum(self.naive_loss) > 0 else None

    @property
    def scored(self) -> int:
        """Outcomes that could be known."""
        return sum(n for (_, _, result), n in self.results.items() if result in SCORED)

    def share(self, result: str) -> float | None:
        """Of the scored outcomes; None before there is any."""
        count = sum(n for (_, _, r), n in self.results.items() if r == result)
        return count / self.scored if self.scored else None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned, by order of the predicted wait, and what came of it."""

    scores: tuple[Scores, ...] = (Scores(), Scores(), Scores(), Scores())
    tally: Tally = field(default_factory=Tally)

    def parts(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "scores": [[s.alpha, *s.latest] for s in self.scores],
            "results": [[*key, n] for key, n in sorted(self.tally.results.items())],
            "loss": list(self.tally.loss),
            "naive_loss": list(self.tally.naive_loss),
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Calibration:
        scores = tuple(Scores(tuple(map(float, latest)), float(alpha)) for alpha, *latest in parts["scores"])
        if len(scores) != len(BANDS) + 1:
            raise ValueError("another number of bands")
        results = {(str(c), int(band), str(r)): int(n) for c, band, r, n in parts["results"]}
        loss, naive = (tuple(map(float, parts[name])) for name in ("loss", "naive_loss"))
        return cls(scores, Tally(results, loss, naive))


Factors = tuple[tuple[float, float], ...]
"""Of each order of waits: the low and the high bound as `ln` of what the estimate is multiplied by."""
UNLEARNED: Factors = ((-0.8 * WIDEST, 0.8 * WIDEST),) * (len(BANDS) + 1)


def band_of(seconds: float) -> int:
    """Which order of waits a prediction is of."""
    return bisect_right(BANDS, seconds)


def score(actual: float, predicted: float) -> float:
    """How wrong a prediction was; above 0 when the start came later."""
    return log((actual + OFFSET) / (predicted + OFFSET))


def factors(calibration: Calibration) -> Factors:
    """The windows as of now."""
    return tuple(_bounds(scores) for scores in calibration.scores)


def window(predicted: float, learned: Factors) -> tuple[float, float]:
    """(low, high) in seconds ahead around a prediction, never below 0."""
    low, high = learned[band_of(predicted)]
    return max(0.0, (predicted + OFFSET) * exp(low) - OFFSET), (predicted + OFFSET) * exp(high) - OFFSET


def learn(calibration: Calibration, said: Announcement, actual: float) -> Calibration:
    """With the outcome of an announcement whose job started `actual` seconds after it. What was disturbed is counted
    apart, and teaches nothing."""
    band = band_of(said.start)
    if said.disturbed is not None:
        return replace(calibration, tally=_counted(calibration.tally, said, band, said.disturbed))
    result = "early" if actual < said.low else "late" if actual > said.high else "inside"
    tally = _losses(_counted(calibration.tally, said, band, result), said, actual)
    before = calibration.scores[band]
    alpha = min(MOST, max(LEAST, before.alpha + RATE * (MISSES - (result != "inside"))))
    latest = (*before.latest, score(actual, said.start))[-LATEST:]
    scores = tuple(Scores(latest, alpha) if n == band else s for n, s in enumerate(calibration.scores))
    return Calibration(scores, tally)


def _bounds(scores: Scores) -> tuple[float, float]:
    known = list(scores.latest)
    if len(known) < ENOUGH:
        known += [WIDEST * (2 * n / (PSEUDO - 1) - 1) for n in range(PSEUDO)]
    known.sort()
    return _order_statistic(known, scores.alpha / 2), _order_statistic(known, 1 - scores.alpha / 2)


def _order_statistic(ordered: list[float], q: float) -> float:
    rank = ceil((len(ordered) + 1) * q)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def _counted(tally: Tally, said: Announcement, band: int, result: str) -> Tally:
    key = said.priority.value, band, result
    return replace(tally, results={**tally.results, key: tally.results.get(key, 0) + 1})


def _losses(tally: Tally, said: Announcement, actual: float) -> Tally:
    ours = zip(QUANTILES, (said.low, said.start, said.high), tally.loss, strict=True)
    naive = zip(QUANTILES, tally.naive_loss, strict=True)
    return replace(
        tally,
        loss=tuple(sum_ + pinball(q, actual - said_q) for q, said_q, sum_ in ours),
        naive_loss=tuple(sum_ + pinball(q, actual - said.naive) for q, sum_ in naive),
    )


def pinball(q: float, difference: float) -> float:
    """The loss of a predicted quantile, `difference` = actual − predicted."""
    return max(q * difference, (q - 1) * difference)
