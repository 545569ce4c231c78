"""Runners for real: one fork server for the tests of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.boottime import boot_seconds
from workers.guarding import Guarding
from workers.run import RunKey, RunOrder

LIGHT: tuple[str, ...] = ("workers.child", "workers.warm")
"""What these tests preload: nothing heavy, so that they start in a moment."""


@asynccontextmanager
async def a_guard(seconds: float = 3600.0, freeze_max: float = 3600.0) -> AsyncIterator[Guarding]:
    """A guard that trusts the lease for so long."""
    async with Guarding(freeze_max) as guard:
        await guard.protect(1, boot_seconds() + seconds)
        yield guard


@dataclass
class Heard:
    """A listener that remembers."""

    lines: list[Mapping[str, Any]] = field(default_factory=list)
    output: bytes = b""

    def heard(self, line: Mapping[str, Any]) -> None:
        self.lines.append(line)

    def printed(self, data: bytes) -> None:
        self.output += data

    def kinds(self) -> list[str]:
        return [line["type"] for line in self.lines]

    def knows(self, kind: str) -> bool:
        return kind in self.kinds()


def a_step(step: str, command: Sequence[str] | None = None, timeout: float | None = None) -> dict[str, Any]:
    kind = "command" if command else "builtin"
    return {"step": step, "kind": kind, "command": list(command) if command else None, "env": {}, "timeout": timeout}


def an_order(
    folder: Path,
    *steps: dict[str, Any],
    job_id: str = "job_a",
    run_no: int = 1,
    timeout: float = 60,
    memory_mib: int = 0,
    **parameters: Any,
) -> RunOrder:
    """An order as the supervisor would make it."""
    work_dir = folder / f"{job_id}-{run_no}"
    work_dir.mkdir(parents=True, exist_ok=True)
    specification = {
        "job_id": job_id,
        "run_no": run_no,
        "attempt": 1,
        "name": "a-job",
        "parameters": parameters,
        "steps": list(steps),
        "work_dir": str(work_dir),
        "threads": 1,
    }
    return RunOrder(RunKey(job_id, run_no), specification, timeout, memory_mib)
