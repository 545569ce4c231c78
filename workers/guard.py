"""The guard of a node, a process of its own: `python -m workers.guard MARK FREEZE_MAX_SECONDS`.

A process tree is stopped if and only if the node's lease cannot be trusted any more, or a user holds the run. The
supervisor tells until when the lease is trusted; when nobody has told anything newer by then, all is stopped at once,
whatever state the supervisor is in. A newer deadline under the same epoch continues; under another epoch what belonged
to the old one is killed first. What stays frozen for too long is killed, and when the supervisor's pipe closes,
everything of this worker is killed and the guard ends: nobody could renew the lease any more.

Lines of JSON over standard input and output. Every order `{"n", "do", …}` is answered, when it is done, with
`{"n", "ok", "frozen", "at"}` (`at`: seconds by the clock of `workers/boottime.py`):

    deadline {at, epoch}   add {run, pid, epoch, held}   remove {run}: ok = the guard had killed it
    hold {run}: ok = it is stopped   let_go {run}   kill: all, the lease is lost   leave: end, kill nothing   hello

Unasked, it says `{"event": "frozen" | "continued" | "killed", "at", "processes"}`. It sleeps until the deadline.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from workers import trees
from workers.boottime import Alarm, boot_seconds

KILL_SECONDS = 5.0
LAST_SECONDS = 30.0
"""How long a guard whose supervisor is gone tries to see everything dead."""
READ_BYTES = 1 << 16
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SupervisorGone(Exception):
    """The pipe is closed."""


@dataclass(slots=True)
class GuardedRun:
    """A process tree, by its leader."""

    leader: int
    epoch: int
    held: bool
    killed: bool = False


class Guard:
    """What is guarded, and until when. `say` sends a line to the supervisor."""

    def __init__(self, pipe: Pipe, mark: str, freeze_max: float) -> None:
        self._pipe = pipe
        self._mark = mark
        self._freeze_max = freeze_max
        self._runs: dict[str, GuardedRun] = {}
        self._servers: set[int] = set()
        self._deadline = float("-inf")
        self._epoch = 0
        self._frozen_at: float | None = boot_seconds()
        """Frozen since then. A guard begins so: without a deadline there is nothing to be trusted."""

    def next_look(self) -> float | None:
        """When something has to be done although nobody asks."""
        if self._frozen_at is None:
            return self._deadline
        alive = any(not run.killed for run in self._runs.values())
        return self._frozen_at + self._freeze_max if alive else None

    def look(self) -> None:
        """Do what the time demands."""
        now = boot_seconds()
        if self._frozen_at is None and now >= self._deadline:
            self._frozen_at = now
            self._event("frozen", now, len(trees.stop(self._everything)))
        elif self._frozen_at is not None and (self.next_look() or now + 1) <= now:
            self._event("killed", now, self._kill_all())

    def obey(self, order: Mapping[str, Any]) -> bool:
        """Carry out one order; False when it was the last."""
        facts = {name: value for name, value in order.items() if name not in ("n", "do")}
        ok = getattr(self, f"_do_{order['do']}")(**facts)
        answer = {"n": order["n"], "ok": ok, "frozen": self._frozen_at is not None, "at": boot_seconds()}
        self._pipe.say(answer)
        return bool(order["do"] != "leave")

    def end(self) -> None:
        """The supervisor is gone: nothing of this worker may live on."""
        trees.kill(lambda: self._everything() | trees.marked(self._mark), LAST_SECONDS)

    def _do_hello(self) -> bool:
        return True

    def _do_deadline(self, at: float, epoch: int) -> bool:
        if epoch != self._epoch:
            if any(run.epoch != epoch and not run.killed for run in self._runs.values()):
                self._event("killed", boot_seconds(), self._kill_all())
            self._epoch = epoch
        self._deadline = at
        now = boot_seconds()
        if now >= at:
            self.look()
        elif self._frozen_at is not None:
            self._frozen_at = None
            trees.send(self._everything() - self._held(), signal.SIGCONT)
            self._event("continued", now, 0)
        return True

    def _do_add(self, run: str, pid: int, epoch: int, held: bool) -> bool:
        try:
            parent = psutil.Process(psutil.Process(pid).ppid())
        except psutil.Error:
            return False
        if trees.has_mark(parent, self._mark):
            self._servers.add(parent.pid)
        self._runs[run] = GuardedRun(pid, epoch, held)
        if held or self._frozen_at is not None:
            trees.stop(lambda: _tree(pid))
        return True

    def _do_remove(self, run: str) -> bool:
        known = self._runs.pop(run, None)
        return known is not None and known.killed

    def _do_hold(self, run: str) -> bool:
        known = self._runs.get(run)
        if known is None or known.killed:
            return False
        known.held = True
        return bool(trees.living(trees.stop(lambda: _tree(known.leader))))

    def _do_let_go(self, run: str) -> bool:
        known = self._runs.get(run)
        if known is None or not known.held:
            return False
        known.held = False
        if self._frozen_at is None:
            trees.send(_tree(known.leader), signal.SIGCONT)
        return True

    def _do_kill(self) -> bool:
        self._deadline = float("-inf")
        self._frozen_at = boot_seconds()
        self._kill_all()
        return True

    def _do_leave(self) -> bool:
        return True

    def _everything(self) -> trees.Processes:
        """Whatever runs for this worker, without its fork servers. Nothing does before the first run."""
        if not self._servers and not self._runs:
            return frozenset()
        spared = {*self._servers, os.getpid(), os.getppid()}
        leaders = frozenset().union(*(_tree(run.leader) for run in self._runs.values()))
        found = trees.below(self._servers) | trees.marked(self._mark) | leaders
        return frozenset(process for process in found if process.pid not in spared)

    def _held(self) -> trees.Processes:
        return frozenset().union(*(_tree(run.leader) for run in self._runs.values() if run.held))

    def _kill_all(self) -> int:
        for run in self._runs.values():
            run.killed = True
        killed, _ = trees.kill(self._everything, KILL_SECONDS)
        return len(killed)

    def _event(self, what: str, at: float, processes: int) -> None:
        self._pipe.say({"event": what, "at": at, "processes": processes})


class Pipe:
    """Standard input and output: orders in, answers out."""

    def __init__(self) -> None:
        self._rest = b""

    def say(self, line: Mapping[str, Any]) -> None:
        try:
            os.write(1, json.dumps(line).encode() + b"\n")
        except BrokenPipeError:
            raise SupervisorGone from None

    def orders(self) -> list[dict[str, Any]]:
        """The orders that have arrived. Raises SupervisorGone at the end of the pipe."""
        data = os.read(0, READ_BYTES)
        if not data:
            raise SupervisorGone
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole]


def serve(guard: Guard, pipe: Pipe) -> None:
    """Until told to leave. Time comes first: a deadline that passed while this process could not run is kept."""
    alarm, poll = Alarm(), select.poll()
    poll.register(0, select.POLLIN)
    if alarm.fileno() >= 0:
        poll.register(alarm.fileno(), select.POLLIN)
    while True:
        at = guard.next_look()
        alarm.set(at)
        ready = poll.poll(None if at is None else max(0, round((at - boot_seconds()) * 1000)))
        guard.look()
        if any(descriptor == 0 for descriptor, _ in ready) and not all(map(guard.obey, pipe.orders())):
            return


def _tree(leader: int) -> trees.Processes:
    """A leader and all below it."""
    try:
        return trees.below([leader]) | {psutil.Process(leader)}
    except psutil.Error:
        return trees.below([leader])


def main() -> int:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    pipe = Pipe()
    guard = Guard(pipe, sys.argv[1], float(sys.argv[2]))
    try:
        serve(guard, pipe)
    except SupervisorGone:
        guard.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
