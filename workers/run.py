"""One run as the supervisor and its runners speak of it: what is ordered, what is heard meanwhile, how it ended.

A run is over only when nothing of its process tree lives. Exactly one `RunReport` is given for it, and the reason why
it was stopped wins over what the stopped process said of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.domain.json import Json
from workers.steps.registry import is_light


class RunEnding(StrEnum):
    """How a run ended. The last ten are given by the supervisor's side, the others by the run itself.

    RELEASED: a user takes the node's resources back; PREEMPTED: more urgent work does. PRUNED: its search wants no more
    of it. LOST: gone, and nobody knows why; CRASHED: gone with its worker.
    """

    FINISHED = "finished"
    ERROR = "error"
    PERMANENT = "permanent"
    CHECKPOINTED = "checkpointed"
    CANCELLED = "cancelled"
    DRAINED = "drained"
    RELEASED = "released"
    PREEMPTED = "preempted"
    PRUNED = "pruned"
    FENCED = "fenced"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    LOST = "lost"
    CRASHED = "crashed"


SUCCESSES = frozenset({RunEnding.FINISHED, RunEnding.PRUNED})
"""After these the run has a result, and its job is done."""
STOPPED = frozenset(
    {
        RunEnding.CHECKPOINTED,
        RunEnding.CANCELLED,
        RunEnding.DRAINED,
        RunEnding.RELEASED,
        RunEnding.PREEMPTED,
        RunEnding.FENCED,
    }
)
"""These are nobody's failure: the run was told to end, or wants to be run again."""
AT_ONCE = frozenset({RunEnding.FENCED, RunEnding.OUT_OF_MEMORY})
"""Reasons to kill without asking first: another run may be about to start, or the node to run out of memory."""


LEAVES_NODE = frozenset({RunEnding.DRAINED, RunEnding.RELEASED, RunEnding.PREEMPTED})
"""Reasons to end a run that may still succeed: one that finishes within its grace has finished."""


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which run: the job and its fencing number."""

    job_id: str
    run_no: int

    def __str__(self) -> str:
        return f"{self.job_id}-{self.run_no}"


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What a runner needs: the specification for the process, and the limits that the supervisor keeps.

    `timeout` in seconds over all steps; `memory_mib` 0 means no limit.
    """

    key: RunKey
    specification: Mapping[str, Json]
    timeout: float
    memory_mib: int = 0

    def step_timeout(self, step: str) -> float | None:
        """The time limit of a step, in seconds."""
        return next((s.get("timeout") for s in self.specification["steps"] if s["step"] == step), None)

    def is_light(self) -> bool:
        """Whether none of its steps needs a library for machine learning."""
        return all(is_light(s["step"], s["kind"]) for s in self.specification["steps"])


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended and what it used (MiB, seconds); what could not be measured is None."""

    ending: RunEnding
    message: str = ""
    step: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    log_tail: tuple[str, ...] = ()
    exception_type: str | None = None
    frame: str | None = None
    peak_memory_mib: float | None = None
    cpu_seconds: float | None = None


class Listener(Protocol):
    """Hears a run while it lives. Called on the event loop; must not block."""

    def heard(self, line: Mapping[str, Json]) -> None:
        """A report line that is not the last one (`step_started`, `progress`, `artifact`, …)."""

    def printed(self, data: bytes) -> None:
        """What the run wrote to its standard output or error, as it came."""


class Runner(Protocol):
    """Runs orders. All runners pass the same tests: start, progress, log, stop, time limits, crash."""

    async def run(self, order: RunOrder, listener: Listener) -> RunReport:
        """Run to the end and tell how it ended; nothing of the run lives when this returns."""

    def stop(self, key: RunKey, reason: RunEnding, message: str = "") -> None:
        """Have a run end for that reason. The first reason stays; unknown and ended runs are ignored."""

    async def freeze(self, key: RunKey) -> bool:
        """Stop everything of a run, and its clocks, until `thaw`. True: it is stopped, and has not ended. False, with
        the run going on: it cannot be frozen, is not begun, is being stopped, or has said its last word."""

    async def thaw(self, key: RunKey) -> None:
        """Have a frozen run go on. Others, and unknown ones, are ignored."""
