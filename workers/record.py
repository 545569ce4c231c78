"""What a run has said of itself so far: the accumulator behind live progress, the result, and the files to keep.

No I/O: report lines go in, values come out. The fraction counts steps as equal shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from app.domain.job import Progress, StepState
from app.domain.json import Json
from app.domain.records import MetricPoint
from workers.run import STOPPED, SUCCESSES, RunEnding, RunReport

_DONE = frozenset({"COMPLETED", "SKIPPED"})


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that the run wants to be kept."""

    name: str
    path: Path


class RunRecord:
    """The state of one live run. `changed` tells whether there is progress that was not yet taken."""

    def __init__(self, run_no: int, steps: Sequence[str], completed: Iterable[str] = ()) -> None:
        done = frozenset(completed)
        self._run_no = run_no
        self._steps = {step: StepState(step, "SKIPPED" if step in done else "PENDING") for step in steps}
        self._within = 0.0
        self._metrics: dict[str, Json] = {}
        self._not_finite: set[str] = set()
        self._text: str | None = None
        self._points: list[MetricPoint] = []
        self._files: dict[str, KeptFile] = {}
        self.step: str | None = None
        self.outputs: dict[str, Mapping[str, Json]] = {}
        self.checkpoint: Path | None = None
        self.changed = False

    def note(self, line: Mapping[str, Json], at: datetime) -> None:
        """Take in a report line. Kinds that mean nothing here are left alone."""
        match line.get("type"):
            case "step_started":
                self._begin(line["step"], at)
            case "step_finished":
                self._finish(line["step"], line.get("outputs") or {}, at)
            case "progress":
                self._advance(line, at)
            case "artifact":
                self._files[line["name"]] = KeptFile(line["name"], Path(line["path"]))
            case "checkpoint":
                self.checkpoint = Path(line["path"])

    def _begin(self, step: str, at: datetime) -> None:
        self.step, self._within, self._text = step, 0.0, None
        self._steps[step] = StepState(step, "RUNNING", at)
        self.changed = True

    def _finish(self, step: str, outputs: Mapping[str, Json], at: datetime) -> None:
        before = self._steps.get(step, StepState(step, "RUNNING"))
        self._steps[step] = replace(before, status="COMPLETED", finished_at=at)
        self._within = 0.0
        self.outputs[step] = outputs
        self.changed = True

    def _advance(self, line: Mapping[str, Json], at: datetime) -> None:
        self._within = line.get("progress") or 0.0
        self._text = line.get("text") or self._text
        if self.step in self._steps:
            self._steps[self.step] = replace(self._steps[self.step], text=self._text)
        told = line.get("metrics") or {}
        metrics = {name: value for name, value in told.items() if value is not None}
        self._metrics.update(metrics)
        self._not_finite |= told.keys() - metrics.keys()
        self._points += [MetricPoint(k, v, line.get("n"), line.get("step"), at) for k, v in metrics.items()]
        self.changed = True

    def fraction(self) -> float:
        """0–1 over all steps."""
        done = sum(s.status in _DONE for s in self._steps.values())
        return min(1.0, (done + self._within) / len(self._steps)) if self._steps else 0.0

    def progress(self, at: datetime) -> Progress:
        """The present state; it counts as taken."""
        self.changed = False
        steps = tuple(self._steps.values())
        return Progress(self._run_no, at, self.fraction(), self.step, self._text, steps, dict(self._metrics))

    def final_progress(self, report: RunReport, at: datetime) -> Progress:
        """The state as it is kept with the job: a step that was under way failed, was stopped, or was done early."""
        reached = self.fraction()
        for name, state in self._steps.items():
            if state.status == "RUNNING" and report.ending is not RunEnding.FINISHED:
                self._steps[name] = replace(state, status=_left_at(report.ending), finished_at=at)
        return replace(self.progress(at), fraction=reached)

    def take_points(self) -> list[MetricPoint]:
        """Metric points that were not yet taken."""
        points, self._points = self._points, []
        return points

    def give_back(self, points: list[MetricPoint]) -> None:
        """Points that could not be stored, to be tried again."""
        self._points[:0] = points

    @property
    def has_points(self) -> bool:
        return bool(self._points)

    def files(self) -> list[KeptFile]:
        """The files to keep, the last one of each name."""
        return list(self._files.values())

    def result(self) -> dict[str, Json]:
        """`{"metrics": {name: last value}, "steps": {step: outputs}}`; and where metrics were told as NaN or infinite,
        their names in `not_finite`."""
        strange = {"not_finite": sorted(self._not_finite)} if self._not_finite else {}
        return {"metrics": dict(self._metrics), "steps": dict(self.outputs), **strange}


def _left_at(ending: RunEnding) -> str:
    """The state of a step that was under way when its run ended."""
    if ending in SUCCESSES:
        return "COMPLETED"
    return "STOPPED" if ending in STOPPED else "FAILED"
