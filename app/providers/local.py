"""`local`: nodes are worker processes of this machine, `tensorfleet worker` each.

A worker goes on when the process that started it ends, and is found again by whoever leads next on this machine
(`records`); with `CAPACITY_LOCAL_BOUND` it ends with it. It gets this process's settings, those of its type in place of
its own, and nothing of the service's face. It is ended by SIGTERM once it has drained and holds nothing; should
somebody have given it work in that very moment, that work goes back to the queue as with any worker that stops.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from app.capacity import NodeTypeSetting
from app.config import Settings, group_classes
from app.domain.capacity.kinds import NODE_TYPE_LABEL
from app.domain.ports import Ack, ProvidedNode
from app.environment import as_text, written
from app.program import bound_to_me, tensorfleet
from app.providers.records import Record, Records, noted

log = structlog.get_logger()
FOLDER = "fleet"
NOT_FOR_WORKERS = frozenset({"http", "capacity", "tenants"})
"""Groups of settings that are the service's own."""
END_SECONDS = 8.0
"""How long bound workers may take to end with this process."""


class LocalProvider:
    """`CapacityProvider` over processes. Blocking work is done in threads, one plan at a time."""

    name = "local"
    acts = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._types = settings.capacity.node_types
        self._bound = settings.capacity.local_bound
        self._data = settings.data.directory.resolve()
        self._records = Records(self._data / FOLDER)
        self._turn = asyncio.Lock()

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        del total
        unknown = sorted(set(add) - self._types.keys())
        if unknown:
            return Ack(accepted=False, detail=f"no such node type: {', '.join(unknown)}")
        async with self._turn:
            # in this thread, for a bound worker ends with the thread that started it
            self._tidy(plan_id)
            for kind, wanted in sorted(add.items()):
                self._start_missing(plan_id, kind, wanted)
            self._end(set(drain))
        return Ack(accepted=True)

    async def nodes(self) -> Sequence[ProvidedNode]:
        async with self._turn:
            alive = await asyncio.to_thread(self._records.alive)
        return [ProvidedNode(record.node_id, record.type, record.plan_id) for record, _ in alive]

    async def aclose(self) -> None:
        if self._bound:
            await asyncio.to_thread(self._end_all)

    def _tidy(self, plan_id: str) -> None:
        """Forget workers that have ended; those of this plan are remembered, else they would be started again."""
        for record in self._records.all():
            if record.plan_id != plan_id and self._records.process_of(record) is None:
                self._records.remove(record)

    def _start_missing(self, plan_id: str, kind: str, wanted: int) -> None:
        """As many of the plan's workers as were not started yet."""
        known = [r for r in self._records.all() if r.plan_id == plan_id and r.type == kind]
        for record in known:
            if record.pid is None:
                process = self._records.process_of(record)
                if process is not None:
                    self._records.write(noted(record, process))
                else:
                    self._start(record)
        for _ in range(wanted - len(known)):
            record = Record(self._records.free_name(kind), kind, plan_id)
            self._records.write(record)
            self._start(record)

    def _start(self, record: Record) -> None:
        command = tensorfleet("worker", "--node-id", record.node_id)
        if self._bound:
            command = bound_to_me(command, signal.SIGKILL)  # the stores that it would say goodbye to end as well
        with self._records.log_path(record.node_id).open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environment(self._types[record.type], record.type),
            )
        threading.Thread(target=process.wait, name=f"fleet.{record.node_id}", daemon=True).start()
        self._records.write(noted(record, psutil.Process(process.pid)))
        log.info("fleet.worker_started", node_id=record.node_id, type=record.type, pid=process.pid)

    def _environment(self, kind: NodeTypeSetting, name: str) -> dict[str, str]:
        """Settings of the worker, and what else this process has in its environment."""
        ours = {variable for group in group_classes().values() for variable in group.variables()}
        rest = {key: text for key, text in os.environ.items() if key not in ours}
        kept = [group for group in group_classes() if group not in NOT_FOR_WORKERS]
        settings = {k: v for group in kept for k, v in written(getattr(self._settings, group)).items()}
        labels = {**kind.labels, NODE_TYPE_LABEL: name}
        return {
            **rest,
            **settings,
            "DATA_DIR": str(self._data),
            "NODE_ID": "",
            "NODE_LABELS": ",".join(f"{key}={text}" for key, text in labels.items()),
            "NODE_CPU_CORES": as_text(kind.cpu_cores),
            "NODE_MEMORY_GB": as_text(kind.memory_gb),
            "NODE_GPU_COUNT": as_text(kind.gpu_count),
            "NODE_STORAGE_GB": as_text(kind.storage_gb or ""),
        }

    def _end(self, node_ids: set[str]) -> None:
        for record, process in self._records.alive():
            if record.node_id in node_ids:
                log.info("fleet.worker_ended", node_id=record.node_id, pid=process.pid)
                with suppress(psutil.Error):
                    process.terminate()

    def _end_all(self) -> None:
        psutil.wait_procs(end_workers(self._data), timeout=END_SECONDS)


def end_workers(data_directory: Path) -> list[psutil.Process]:
    """Tell every worker that was started over this folder to end; answers their processes."""
    processes = [process for _, process in Records(data_directory.resolve() / FOLDER).alive()]
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    return processes
