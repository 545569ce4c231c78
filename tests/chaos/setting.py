"""What a laboratory is made of, and the figures that every process in it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.dev.mongodb import OPLOG_MB


class Pace(NamedTuple):
    """The lease's figures in seconds: life, beat, margin."""

    lease: float
    beat: float
    margin: float


PACE = Pace(12, 2, 3)
BRISK = Pace(5, 1, 2)
"""For the short form."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a laboratory is made of. `without` and `faults`: see `tests.chaos.doctored`; `env`: further settings."""

    nodes: int = 1
    apis: int = 1
    members: int = 1
    pace: Pace = PACE
    without: Sequence[str] = ()
    faults: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By the name of a part."""
    env: Mapping[str, str] | None = None
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Settings of single nodes, by name."""
    oplog_mb: int = OPLOG_MB
    """How much history MongoDB keeps."""
    disk_mib: int | None = None
    """The data directories of the nodes are on disks of this size; see `tests.chaos.disk`."""
    subscribers: int = 1
    light: bool = True
    """Without the libraries that no witness needs; see `tests.chaos.doctored`."""
    patience: float = 1.0
    """By how much seconds may be longer: on a machine that runs other tests at the same time."""


def environment(pace: Pace) -> dict[str, str]:
    """The settings that every process of the laboratory has."""
    return {
        "LEASE_SECONDS": str(pace.lease),
        "LEASE_BEAT_SECONDS": str(pace.beat),
        "LEASE_MARGIN_SECONDS": str(pace.margin),
        "RECONCILE_SECONDS": "1",
        "KILL_GRACE_SECONDS": "1",
        "DRAIN_GRACE_SECONDS": "0.5",
        "MAX_CONCURRENT_JOBS": "0",
        "NODE_CPU_CORES": "64",
        "NODE_MEMORY_GB": "256",
        "NODE_GPU_COUNT": "8",
        "NODE_STORAGE_GB": "1000",
        "LOG_LEVEL": "INFO",
    }
