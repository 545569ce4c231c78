"""Early stopping by successive halving without waiting (ASHA, its *stopping* form): Li et al., "A System for Massively
Parallel Hyperparameter Tuning", MLSys 2020.

Rungs lie at `min_step` · η^k. A trial is judged once at each rung, when its first value at or beyond that step is
known: with fewer than η results there (its own counts) it goes on, else only if it is among the best ⌈n/η⌉. Ties go on.
The order in which results come is the order in which they are recorded, so the same record gives the same verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """`eta`: one of so many goes on; `min_step`: the first rung, in the steps that trials report."""

    eta: int = 3
    min_step: int = 1

    def rungs(self, reached: int) -> Iterator[int]:
        """The rungs at or below a step, ascending."""
        rung = self.min_step
        while rung <= reached:
            yield rung
            rung *= self.eta


def goes_on(value: float, others: Sequence[float], eta: int, *, maximize: bool) -> bool:
    """Whether a trial with this value may go on beyond a rung where `others` were seen before it."""
    results = len(others) + 1
    if results < eta:
        return True
    better = sum(other > value if maximize else other < value for other in others)
    return better < math.ceil(results / eta)
