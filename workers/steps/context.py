"""What a step sees of its run, and the only way it tells anything.

One context a step; `state` is shared by the steps of a run, which share a process, so that data prepared by one need
not be read again by the next. A step may never count on it: in another attempt, or alone, it starts empty.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.json import Json
from workers.report import Reporter
from workers.steps.failures import Stopped
from workers.steps.specification import RunSpecification, StepSpecification
from workers.steps.stop import StopFlag

ARTIFACTS = "artifacts"
CHECKPOINTS = "checkpoints"
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class StepContext:
    """The argument of a step. `outputs` holds those of the steps before it, by step."""

    run: RunSpecification
    specification: StepSpecification
    reporter: Reporter
    stop: StopFlag
    state: dict[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)

    @property
    def job_id(self) -> str:
        return self.run.job_id

    @property
    def run_no(self) -> int:
        """Grows with every dispatch of the job: with `job_id` an idempotency key for what must not be repeated."""
        return self.run.run_no

    @property
    def attempt(self) -> int:
        return self.run.attempt

    @property
    def step(self) -> str:
        return self.specification.step

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self.run.parameters

    @property
    def inputs(self) -> Mapping[str, Json]:
        return self.run.inputs

    @property
    def threads(self) -> int:
        """How many threads the run's allocation allows."""
        return self.run.threads

    @property
    def work_dir(self) -> Path:
        """A folder of this run's own; it is removed after the run, what must stay is an artifact or a checkpoint."""
        return self.run.work_dir

    @property
    def last_checkpoint(self) -> Path | None:
        """The checkpoint of the run before this one, a file or a folder; None when there is none."""
        return self.run.checkpoint

    def report(
        self,
        progress: float | None = None,
        metrics: Mapping[str, float] | None = None,
        step: int | None = None,
        text: str | None = None,
    ) -> None:
        """Tell progress (0..1 of this step), metric values, the step number they belong to, a word beside the bar."""
        self.reporter.progress(self.step, progress, metrics, step, text)

    def log(self, text: str) -> None:
        """A line (or lines) for the job's log."""
        self.reporter.log(self.step, text)

    def artifact(self, name: str, path: str | Path, kind: str = "file") -> Path:
        """Keep a file beyond the run as `name`; it is copied, and the copy's path returned.

        Raises ValueError for a name that is no plain file name, or a path that is no file.
        """
        source, target = Path(path), self.artifacts_dir / checked_name(name)
        if not source.is_file():
            raise ValueError(f"artifact {name}: {source.name} is not a file; pack a folder first")
        _copy_file(source, target)
        self.reporter.artifact(name, str(target), kind)
        return target

    def checkpoint(self, path: str | Path) -> Path:
        """Keep a file or folder for the next attempt, which finds it as `last_checkpoint`; the last one counts."""
        source = Path(path)
        target = self.checkpoints_dir / checked_name(source.name)
        if source.is_dir():
            _copy_folder(source, target)
        else:
            _copy_file(source, target)
        self.reporter.checkpoint(str(target))
        return target

    def should_stop(self) -> bool:
        """Whether the run was asked to end: save what is worth saving and return, or raise Checkpointed."""
        return self.stop.requested()

    def stop_if_asked(self) -> None:
        """End the step here when the run was asked to end. Raises Stopped."""
        if self.stop.requested():
            raise Stopped(f"step {self.step} was asked to stop")

    @property
    def artifacts_dir(self) -> Path:
        return _folder(self.run.work_dir / ARTIFACTS)

    @property
    def checkpoints_dir(self) -> Path:
        return _folder(self.run.work_dir / CHECKPOINTS)

    def later_steps(self) -> tuple[str, ...]:
        """The names of the steps that follow this one in the run."""
        names = [each.step for each in self.run.steps]
        return tuple(names[names.index(self.step) + 1 :]) if self.step in names else ()


def checked_name(name: str) -> str:
    """A name that stays where it is put: no folder, no way up, nothing hidden. Raises ValueError."""
    if not name or len(name) > MAX_NAME or name.startswith(".") or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(f"{name[:80]!r} is not a file name: 1-{MAX_NAME} printable characters, no '/', no leading '.'")
    return name


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _copy_file(source: Path, target: Path) -> None:
    """Copy so that `target` is at every moment the old file or the new one, whole."""
    if source.resolve() == target.resolve():
        return
    beside = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, beside)
    beside.replace(target)


def _copy_folder(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        return
    beside, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for stale in (beside, old):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.copytree(source, beside)
    if target.exists():
        target.replace(old)
    beside.replace(target)
    shutil.rmtree(old, ignore_errors=True)
