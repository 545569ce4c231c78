"""Trials, and what follows from them: how many to ask next, and when a sweep is over before it has asked them all.

A trial is recorded before its job is, once and for good; what is recorded later (values at rungs, its end) is recorded
once, too. `untold` names the trials before it whose end it did not know when it was asked: so what a model-based search
asked can be worked out again, from the seed and the record, whatever ended meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.domain.sweeps.space import Values, key
from app.domain.sweeps.sweep import STARTUP, Strategy, Sweep

FAILURES_IN_A_ROW = 5
LONGEST_DETAIL = 400
JUDGED_BY = 5
"""Trials that completed, the first ones, of which one at least must have told the objective."""


class Outcome(StrEnum):
    """How a trial ended. PRUNED: stopped early, which is no failure."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


FAILURES = frozenset({Outcome.FAILED, Outcome.TIMEOUT})
SUCCESSES = frozenset({Outcome.COMPLETED, Outcome.PRUNED})


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """`value`: the objective at the trial's best step, None where it was never a number; `step`: that step, where it
    was told; `cluster_seconds`: for how long its runs held their allocations; `fingerprint`: equal for failures that
    are alike; `told`: of one that completed without a value, what it told instead, the objective alone where that was
    told and was no number."""

    outcome: Outcome
    at: datetime
    value: float | None = None
    step: int | None = None
    cluster_seconds: float = 0.0
    fingerprint: str | None = None
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of a search. `number` from 0; `rungs`: its first value at or beyond each rung; `stopped_at`: the rung
    where it was not among the best; `seq` grows with each change of the record."""

    sweep_id: str
    number: int
    job_id: str
    values: Values
    asked_at: datetime
    untold: tuple[int, ...] = ()
    seq: int = 1
    rungs: Mapping[int, float] = field(default_factory=dict)
    stopped_at: int | None = None
    end: TrialEnd | None = None

    @property
    def key(self) -> str:
        """Equal for trials that try the same."""
        return key(self.values)


class Over(StrEnum):
    """Why a sweep asks no more."""

    ALL_ASKED = "all_asked"
    GOAL_REACHED = "goal_reached"
    FAILING = "failing"
    NO_OBJECTIVE = "no_objective"
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class Move:
    """What a sweep does next: ask so many trials, or none any more, `over` says why. `stops`: those that have not ended
    are cancelled."""

    ask: int = 0
    over: Over | None = None
    detail: str | None = None

    @property
    def stops(self) -> bool:
        return self.over in (Over.GOAL_REACHED, Over.FAILING, Over.NO_OBJECTIVE)


def next_move(sweep: Sweep, trials: Sequence[Trial]) -> Move:
    """From all trials so far. What stops a sweep is looked for among those that ended, in the order of their ends."""
    ended = sorted((t for t in trials if t.end is not None), key=_ended_at)
    best = next((t for t in ended if t.end and t.end.value is not None and sweep.reaches_goal(t.end.value)), None)
    if best is not None and best.end is not None:
        return Move(over=Over.GOAL_REACHED, detail=f"trial {best.number} reached {best.end.value:g}")
    if (fault := _failing(ended)) is not None:
        return Move(over=Over.FAILING, detail=fault)
    if (instead := _without_objective(sweep, ended)) is not None:
        return Move(over=Over.NO_OBJECTIVE, detail=instead)
    asked = trials[-1].number + 1 if trials else 0
    left = sweep.max_trials - asked
    if left <= 0:
        return Move(over=Over.ALL_ASKED)
    return Move(
        ask=max(0, min(left, sweep.max_parallel - (len(trials) - len(ended)), _known_enough(sweep, trials, asked)))
    )


def _known_enough(sweep: Sweep, trials: Sequence[Trial], asked: int) -> int:
    """For how many of the next trials all that they are to learn from has ended."""
    if sweep.lag is None or sweep.strategy is not Strategy.TPE:
        return sweep.max_trials
    ended_below = next((trial.number for trial in trials if trial.end is None), asked)
    return max(STARTUP, ended_below + sweep.lag) - asked


def _ended_at(trial: Trial) -> tuple[datetime, int]:
    assert trial.end is not None
    return trial.end.at, trial.number


def _failing(ended: Sequence[Trial]) -> str | None:
    """The fault that the last trials have in common, if there were so many in a row at any time. A trial that a user
    cancelled says nothing."""
    row, last = 0, None
    for trial in ended:
        assert trial.end is not None
        if trial.end.outcome is Outcome.CANCELLED:
            continue
        fault = (trial.end.outcome, trial.end.fingerprint) if trial.end.outcome in FAILURES else None
        row = row + 1 if fault is not None and fault == last else int(fault is not None)
        last = fault
        if row >= FAILURES_IN_A_ROW:
            return f"{row} trials in a row failed alike, the last was trial {trial.number}"
    return None


def _without_objective(sweep: Sweep, ended: Sequence[Trial]) -> str | None:
    """What the first trials that completed told instead, where there are so many and none told the objective. One that
    told it as NaN told it."""
    ends = [trial.end for trial in ended if trial.end is not None and trial.end.outcome in SUCCESSES][:JUDGED_BY]
    if len(ends) < min(JUDGED_BY, sweep.max_trials) or any(
        end.value is not None or sweep.objective in end.told for end in ends
    ):
        return None
    names = sorted({name for end in ends for name in end.told})
    told = ", ".join(names) or "no metric at all"
    return f"none of the first {len(ends)} trials that completed told {sweep.objective}; they told {told}"[
        :LONGEST_DETAIL
    ]
