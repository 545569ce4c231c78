"""What the supervisor tells the process that runs a job: one frozen value, read from JSON.

It holds no credentials and no addresses: everything that a run needs from outside is a path on this node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.datasets import DatasetEntry
from app.domain.json import Json


@dataclass(frozen=True, slots=True)
class StepSpecification:
    """One step: `kind` is `builtin`, `function` or `command`; `timeout` in seconds is kept by the supervisor."""

    step: str
    kind: str
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None

    @classmethod
    def from_json(cls, raw: Mapping[str, Json]) -> StepSpecification:
        command = raw.get("command")
        return cls(
            step=raw["step"],
            kind=raw["kind"],
            command=tuple(command) if command else None,
            env=raw.get("env") or {},
            timeout=raw.get("timeout"),
        )


@dataclass(frozen=True, slots=True)
class RunSpecification:
    """One run of a job. `models` and `datasets` map a reference to what the supervisor put on this node for it."""

    job_id: str
    run_no: int
    attempt: int
    name: str
    work_dir: Path
    steps: tuple[StepSpecification, ...]
    parameters: Mapping[str, Json] = field(default_factory=dict)
    inputs: Mapping[str, Json] = field(default_factory=dict)
    completed_steps: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    checkpoint: Path | None = None
    threads: int = 1
    cpus: tuple[int, ...] = ()
    gpu_indices: tuple[int, ...] = ()
    data_root: Path | None = None
    datasets: Mapping[str, DatasetEntry] = field(default_factory=dict)
    models: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def from_json(cls, raw: Mapping[str, Json]) -> RunSpecification:
        """Read the supervisor's JSON. Raises KeyError or TypeError when it is not that: our fault, not the job's."""
        return cls(
            job_id=raw["job_id"],
            run_no=raw["run_no"],
            attempt=raw["attempt"],
            name=raw.get("name") or raw["job_id"],
            work_dir=Path(raw["work_dir"]),
            steps=tuple(map(StepSpecification.from_json, raw["steps"])),
            parameters=raw.get("parameters") or {},
            inputs=raw.get("inputs") or {},
            completed_steps=raw.get("completed_steps") or {},
            checkpoint=_path(raw.get("checkpoint")),
            threads=max(1, int(raw.get("threads") or 1)),
            cpus=tuple(raw.get("cpus") or ()),
            gpu_indices=tuple(raw.get("gpu_indices") or ()),
            data_root=_path(raw.get("data_root")),
            datasets={name: _entry(entry) for name, entry in (raw.get("datasets") or {}).items()},
            models={reference: Path(path) for reference, path in (raw.get("models") or {}).items()},
        )


def _path(raw: str | None) -> Path | None:
    return Path(raw) if raw else None


def _entry(raw: Mapping[str, Json]) -> DatasetEntry:
    return DatasetEntry(path=raw["path"], target_column=raw.get("target_column"))
