"""The protections, each with what takes it off: for negative controls, which must find the fault that it keeps away.

`PROTECTIONS` maps a name to the change in the process of the API, of the worker, or of both.
"""

from __future__ import annotations

import asyncio
import fcntl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as with_changes
from types import SimpleNamespace
from typing import Any

from tests.chaos.replacing import nothing, replace

Removal = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Protection:
    """What it keeps away, and how it is taken off in each kind of process."""

    keeps_away: str
    serve: Removal | None = None
    worker: Removal | None = None

    def remove(self, command: str) -> None:
        removal = self.serve if command == "serve" else self.worker
        if removal is not None:
            removal()


def _seq_guard() -> None:
    from app.storage.group_commit import GroupCommit

    replace(GroupCommit, "_guard", lambda self, change: {"_id": change.job_id})


def _run_no_guard() -> None:
    from workers import ends

    decide = ends.decide

    def for_any_run(job: Any, ending: Any, *rest: Any) -> Any:
        return decide(job, with_changes(ending, key=with_changes(ending.key, run_no=job.run_no)), *rest)

    replace(ends, "decide", for_any_run)


def _reservation_guard() -> None:
    from app.storage import nodes

    reservation = nodes.reservation

    def unguarded(node_id: str, allocations: Any) -> Any:
        _, update = reservation(node_id, allocations)
        return {"_id": node_id}, update

    replace(nodes, "reservation", unguarded)


def _majority() -> None:
    from app.storage import mongo

    replace(mongo, "DURABLE", {**mongo.DURABLE, "w": 1, "readConcernLevel": "local"})


def _index_repair() -> None:
    from app.scheduler.index_keeper import IndexKeeper

    replace(IndexKeeper, "keep", nothing)
    replace(IndexKeeper, "restore", nothing)


def _ring_again() -> None:
    from app.scheduler.ledger import Ledger

    replace(Ledger, "ring_again", nothing)


def _sweep() -> None:
    from workers.claims import Claims

    replace(Claims, "sweep", nothing)


def _ledger_repair() -> None:
    from app.scheduler.ledger import Ledger

    replace(Ledger, "compare", nothing)


def _quarantine() -> None:
    from app.storage.quarantine import Reading

    async def all_or_nothing(self: Any, documents: Any, read: Any) -> Any:
        return [read(document) for document in documents]

    replace(Reading, "each", all_or_nothing)


def _node_lock() -> None:
    from workers import home

    unlocked = SimpleNamespace(flock=lambda *_: None, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    replace(home, "fcntl", unlocked)


def _free_drain() -> None:
    from workers import outcome
    from workers.run import RunEnding

    replace(outcome, "_LEAVES", {RunEnding.CHECKPOINTED: "checkpointed"})
    outcome._FAILURE_REASON[RunEnding.DRAINED] = "error"


def _subreaper() -> None:
    from workers.runners import fork_server

    replace(fork_server, "OWN_MODULES", ("tests.chaos.unadopted", *fork_server.OWN_MODULES))


def _idempotency() -> None:
    from app.api.routes import jobs

    replace(jobs, "key_of", lambda *_: None)


class _WithIdleGuards:
    """asyncio, but for a guard that is started: that one takes orders, and does nothing of itself."""

    IDLE = (
        "import workers.guard as g; g.Guard.look = g.Guard.next_look = g.Guard.end = lambda self: None; "
        "raise SystemExit(g.main())"
    )

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def create_subprocess_exec(self, program: str, *arguments: str, **options: Any) -> Any:
        *before, module, mark, freeze_max = arguments
        assert module == "workers.guard", arguments
        changed = (*before[:-1], "-c", self.IDLE, mark, freeze_max)
        return await asyncio.create_subprocess_exec(program, *changed, **options)


def _guard() -> None:
    from workers import guard_link
    from workers.guard import Guard

    assert Guard.look and Guard.next_look and Guard.end
    replace(guard_link, "asyncio", _WithIdleGuards())


def _fence() -> None:
    from app.storage.leases import MongoLeaseStore

    async def believe(*_: Any) -> bool:
        return True

    replace(MongoLeaseStore, "fence", believe)


def _hold_back() -> None:
    from app.scheduler.hold_back import Watch

    replace(Watch, "seen", lambda self, look, *_: Watch(look))


def _reaper() -> None:
    from app.scheduler.reaper import Reaper

    replace(Reaper, "run_once", nothing)


def _suspects() -> None:
    from app.domain.job import Job

    replace(Job, "suspect", property(lambda self: False))


def _memory_watch() -> None:
    from workers.usage import TreeWatch

    add = TreeWatch.add
    replace(TreeWatch, "add", lambda self, pid, memory_mib, *rest: add(self, pid, 1 << 30, *rest))


def _own_process() -> None:
    from workers.run import RunEnding, RunReport
    from workers.runners.process import ProcessRunner

    async def run_here(self: Any, order: Any, listener: Any) -> RunReport:
        """In the supervisor itself, which does nothing else meanwhile."""
        env = {"TF_JOB_ID": order.key.job_id, "TF_RUN_NO": str(order.key.run_no), "TF_OUTPUTS": "/dev/null"}
        subprocess.run([sys.executable, *order.specification["parameters"]["command"][1:]], env=env, check=False)  # noqa: ASYNC221
        return RunReport(RunEnding.FINISHED)

    replace(ProcessRunner, "run", run_here)


def _settling() -> None:
    from workers import supervisor

    replace(supervisor, "settle_running", nothing)


def _bounds() -> None:
    from app.operations import hints
    from app.storage import redis

    replace(hints, "HINT_SECONDS", None)
    for name in ("ANSWER_SECONDS", "CONNECT_SECONDS", "POOL_SECONDS"):
        replace(redis, name, None)


def _store_clock() -> None:
    import app.scheduler.service  # noqa: F401  all that ask for the time are loaded with it
    from app.clock import SystemClock
    from app.storage import leases

    async def own_now(services: Any) -> Any:
        return services.clock.now()

    async def lapsed(self: Any) -> Any:
        found = await self._leases.find({}).to_list(None)
        return [leases._lease_from(lease) for lease in found if lease["until"] < SystemClock().now()]

    async def fence(self: Any, name: str, epoch: int) -> bool:
        return await self._update({"_id": name, "epoch": epoch}, leases._FENCE) is not None

    replace(leases, "_in", lambda term: SystemClock().now() + term)
    replace(leases.MongoLeaseStore, "lapsed", lapsed)
    replace(leases.MongoLeaseStore, "fence", fence)
    for name, module in list(sys.modules.items()):
        if name.startswith("app.scheduler.") and hasattr(module, "store_now"):
            replace(module, "store_now", own_now)


def _resync() -> None:
    from app.storage.feed.watch import Watch

    replace(Watch, "lose", lambda self, reason: setattr(self, "position", None))


def _drops() -> None:
    from app.storage.feed import watch

    replace(watch, "_GONE", ())


def _leavings() -> None:
    from workers.execution import Executor

    replace(Executor, "_kept", Executor._collect)


def _whole_batches() -> None:
    from app.storage.whole_batches import WholeBatches

    async def all_of_them(self: Any, documents: Any) -> Any:
        return list(documents)

    replace(WholeBatches, "shown", all_of_them)


def _promotion() -> None:
    from app.scheduler.reconciler import Reconciler

    replace(Reconciler, "promote_missed", nothing)


def _workflow_keeper() -> None:
    from app.scheduler.workflow_keeper import WorkflowKeeper

    replace(WorkflowKeeper, "run_once", nothing)


def _derived_ids() -> None:
    """The jobs of a workflow get fresh ids, as other jobs do: whoever makes them again makes others."""
    import os

    from app.domain.workflows import state

    replace(state, "derived_job_id", lambda *_: "job_" + os.urandom(13).hex())


def _takeover() -> None:
    """Only a service that finds nobody at its start takes the lead."""
    from app.scheduler.leader import Leader

    plain = Leader._renewed_or_taken

    async def at_the_start(self: Any, held: Any) -> Any:
        return None if held is None and self._task is not None else await plain(self, held)

    replace(Leader, "_renewed_or_taken", at_the_start)


PROTECTIONS: dict[str, Protection] = {
    "workflow_keeper": Protection("a crash at the end of a parent strands its workflow", _workflow_keeper),
    "derived_ids": Protection("a child is made twice when its parent's end is told twice", _derived_ids, _derived_ids),
    "takeover": Protection("when the leader dies nobody plans any more", _takeover),
    "seq_guard": Protection("a late write overwrites a newer state", _seq_guard, _seq_guard),
    "run_no_guard": Protection("a run that was replaced publishes its result", worker=_run_no_guard),
    "reservation_guard": Protection("a node gives the same room twice", _reservation_guard),
    "majority": Protection("a failover takes back what was answered", _majority, _majority),
    "index_repair": Protection("a job that is not in the index waits for ever", _index_repair),
    "redelivery": Protection("a dispatch that was lost is never told again", _ring_again, _sweep),
    "ledger_repair": Protection("a crash between two writes leaks the room of a run", _ledger_repair),
    "quarantine": Protection("one bad document stops a loop", _quarantine, _quarantine),
    "node_lock": Protection("a second supervisor ends the runs of the first", worker=_node_lock),
    "free_drain": Protection("a restart of the worker uses up an attempt", worker=_free_drain),
    "guard": Protection("what a silent or dead worker leaves runs on beside its replacement", worker=_guard),
    "fence": Protection("a renewal that comes between look and deed leaves two live runs", _fence),
    "hold_back": Protection("nodes are given up for a fault of MongoDB", _hold_back),
    "reaper": Protection("the runs of a node that is gone wait for ever", _reaper),
    "suspects": Protection("a job that kills its worker does so for ever", _suspects, _suspects),
    "memory_watch": Protection("a run takes the memory of others", worker=_memory_watch),
    "own_process": Protection("job code holds up the beat", worker=_own_process),
    "settling": Protection("a worker that comes back forgets its earlier runs", worker=_settling),
    "bounds": Protection("a silent Redis silences the service", _bounds, _bounds),
    "store_clock": Protection("a wrong clock ends a lease early", _store_clock, _store_clock),
    "resync": Protection("subscribers miss what the store has forgotten, and do not know", _resync),
    "drops": Protection("subscribers are not told that data was dropped", _drops),
    "leavings": Protection("a run whose files cannot be stored never ends", worker=_leavings),
    "subreaper": Protection("a process that left its session outlives its job", worker=_subreaper),
    "whole_batches": Protection("a reader sees a part of a batch", _whole_batches),
    "promotion": Protection("a job whose parents ended unseen waits for ever", _promotion),
    "idempotency": Protection("a submit that is sent again makes a second job", _idempotency),
}
