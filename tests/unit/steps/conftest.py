"""Runs steps as the job's process does, with the report gathered in a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from workers.report import Failure, Reporter
from workers.steps.runner import run_steps
from workers.steps.specification import RunSpecification
from workers.steps.stop import EventStop

PIPELINE = ("data_preparation", "model_training", "model_evaluation", "model_storage")


@dataclass(frozen=True)
class Ran:
    """A run that ended: its verdict and everything that it reported."""

    failure: Failure | None
    lines: list[dict[str, Any]]
    work_dir: Path

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == kind]

    @property
    def outputs(self) -> dict[str, Mapping[str, Any]]:
        return {line["step"]: line["outputs"] for line in self.of("step_finished")}

    @property
    def artifacts(self) -> dict[str, Path]:
        return {line["name"]: Path(line["path"]) for line in self.of("artifact")}

    @property
    def metrics(self) -> dict[str, float]:
        last: dict[str, float] = {}
        for line in self.of("progress"):
            last.update(line["metrics"])
        return last

    @property
    def texts(self) -> list[str]:
        return [line["text"] for line in self.of("log")]


Run = Callable[..., Ran]


def a_specification(work_dir: Path, steps: Any, **more: Any) -> dict[str, Any]:
    """The supervisor's JSON for a run; `steps` are names of built-in steps or whole step objects."""
    whole = [{"step": each, "kind": "builtin"} if isinstance(each, str) else each for each in steps]
    basics = {"job_id": "job_a", "run_no": 1, "attempt": 1, "name": "a-job", "parameters": {}, "threads": 1}
    return {**basics, "work_dir": str(work_dir), "steps": whole, **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(steps, parameters, **specification)`: each call in a folder of its own."""
    count = 0

    def ran(steps: Any, parameters: Mapping[str, Any] | None = None, stop: EventStop | None = None, **more: Any) -> Ran:
        nonlocal count
        count += 1
        work_dir = tmp_path / f"run-{count}"
        work_dir.mkdir()
        raw = a_specification(work_dir, steps, parameters=dict(parameters or {}), **more)
        lines: list[dict[str, Any]] = []
        failure = run_steps(RunSpecification.from_json(raw), Reporter(lines.append), stop or EventStop())
        return Ran(failure, lines, work_dir)

    return ran
