"""What a node is: what the machine has (or the control group allows), and what the settings advertise instead.

`describe` is the pure part: detected facts and settings in, a node record out. A capacity that was set is *logical*:
the service counts it, whether or not the machine has it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from app import agreement
from app.config import NodeSettings, Settings
from app.domain.ids import node_id_of
from app.domain.nodes import Node, NodeState
from app.domain.resources import Vector
from workers.processors import own_cpus
from workers.steps.registry import registered_functions

_CGROUP = Path("/sys/fs/cgroup")
_MIB = 1 << 20
_NVIDIA_SECONDS = 10
_OPTIONAL = ("torch",)
"""Distributions whose presence decides what a node can run."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was detected. `functions`: names of the steps that packages here offer."""

    host: str
    cpu_millicores: int
    memory_mib: int
    storage_gib: int
    gpus: tuple[str, ...] = ()
    packages: Mapping[str, str] | None = None
    functions: tuple[str, ...] = ()

    @property
    def capacity(self) -> Vector:
        return Vector(self.cpu_millicores, self.memory_mib, len(self.gpus), self.storage_gib)


def node_id(settings: NodeSettings) -> str:
    """NODE_ID, else the host name as an id."""
    return settings.id or node_id_of(socket.gethostname())


def describe(identity: str, machine: Machine, settings: Settings, epoch: int, at: datetime) -> Node:
    """The node as it registers: ready, and empty as far as it knows (the store keeps what is allocated)."""
    own = settings.node
    said = {
        "cpu_cores": own.cpu_cores,
        "memory_gb": own.memory_gb,
        "gpu_count": own.gpu_count,
        "storage_gb": own.storage_gb,
    }
    wanted = {name: float(value) for name, value in said.items() if value is not None}
    capacity = Vector.from_units({**machine.capacity.units(), **wanted})
    return Node(
        id=identity,
        state=NodeState.READY,
        epoch=epoch,
        labels=dict(own.labels),
        capacity=capacity,
        free=capacity,
        logical=bool(wanted) and capacity != machine.capacity,
        facts={**_facts(machine), agreement.FACT: agreement.told(settings)},
        registered_at=at,
    )


def _facts(machine: Machine) -> dict[str, str | int | float]:
    return {
        "host": machine.host,
        "physical_cpu_cores": machine.cpu_millicores / 1000,
        "physical_memory_mib": machine.memory_mib,
        "physical_gpus": ", ".join(machine.gpus) or "none",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "pid": os.getpid(),
        "functions": " ".join(machine.functions),
        **(machine.packages or {}),
    }


def detect(folder: Path) -> Machine:
    """Look at this machine; `folder` lies on the disk that runs will use. Blocks for a moment where there is a GPU."""
    return Machine(
        host=socket.gethostname(),
        cpu_millicores=_cpu_millicores(),
        memory_mib=_memory_mib(),
        storage_gib=shutil.disk_usage(folder).free >> 30,
        gpus=_gpus(),
        packages=_packages(),
        functions=tuple(sorted(registered_functions())),
    )


def _cpu_millicores() -> int:
    cores = len(own_cpus()) * 1000
    quota, _, period = _read(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit():
        return max(1, min(cores, int(quota) * 1000 // int(period)))
    return cores


def _memory_mib() -> int:
    physical: int = psutil.virtual_memory().total // _MIB
    bound = _read(_CGROUP / "memory.max")
    return min(physical, int(bound) // _MIB) if bound.isdigit() else physical


def _gpus() -> tuple[str, ...]:
    """Names of the GPUs by index; none where there is no driver, or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_NVIDIA_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def _packages() -> dict[str, str]:
    found = {}
    for name in _OPTIONAL:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
