"""The guard of a node, a process of its own: `python -m workers.guard MARK FREEZE_MAX_SECONDS`.

A process tree is stopped if and only if the node's lease cannot be trusted any more, or a user holds the run. The
supervisor tells until when the lease is trusted; when nobody has told anything newer by then, all is stopped at once,
whatever state the supervisor is in. A newer deadline under the same epoch continues; under another epoch what belonged
to the old one is killed first. What stays frozen for too long is killed, and when the supervisor's pipe closes,
everything of this worker is killed and the guard ends: nobody could renew the lease any more.

Lines of JSON over standard input and output. Every order `{"n", "do", …}` is answered, when it is done, with
`{"n", "ok", "frozen", "at"}` (`at`: seconds by the clock of `workers/boottime.py`):

    deadline {at, epoch}   add {run, pid, epoch, held}   remove {run}: ok = the guard had killed it
    hold {run}: ok = it is stopped   let_go {run}   kill: all, the lease is lost   leave: end, kill nothing
    hello {runs}: what an earlier guard knew, each as in `add`

Unasked, it says `{"event": "frozen" | "continued" | "killed", "at", "processes"}`. It sleeps until the deadline, looks
at the time between any two orders, and never waits for who reads its answers.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
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

    leader: psutil.Process
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
        self._servers: set[psutil.Process] = set()
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

        def all_of_it() -> trees.Processes:
            """This process may have been born while its supervisor started the fork server, and then bears the mark."""
            found = self._everything() | trees.marked(self._mark)
            return frozenset(process for process in found if process.pid != os.getpid())

        trees.kill(all_of_it, LAST_SECONDS)

    def _do_hello(self, runs: Sequence[Mapping[str, Any]] = ()) -> bool:
        self._take([run for facts in runs if (run := self._known(**facts)) is not None])
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
        known = self._known(run, pid, epoch, held)
        if known is not None:
            self._take([known])
        return known is not None

    def _known(self, run: str, pid: int, epoch: int, held: bool) -> GuardedRun | None:
        """A run that is guarded from now on; None when its leader has ended."""
        try:
            leader = psutil.Process(pid)
            parent = psutil.Process(leader.ppid())
        except psutil.Error:
            return None
        if trees.has_mark(parent, self._mark):
            self._servers.add(parent)
        known = self._runs[run] = GuardedRun(leader, epoch, held)
        return known

    def _take(self, runs: Sequence[GuardedRun]) -> None:
        """What must stand, stands from now on: all of them at once, since there may be hundreds."""
        leaders = [run.leader for run in runs if run.held or self._frozen_at is not None]
        if len(leaders) == 1:
            trees.stop(lambda: trees.tree(leaders[0]))
        elif leaders:
            trees.stop(lambda: trees.family(leaders))

    def _do_remove(self, run: str) -> bool:
        known = self._runs.pop(run, None)
        return known is not None and known.killed

    def _do_hold(self, run: str) -> bool:
        known = self._runs.get(run)
        if known is None or known.killed:
            return False
        known.held = True
        return bool(trees.living(trees.stop(lambda: trees.tree(known.leader))))

    def _do_let_go(self, run: str) -> bool:
        known = self._runs.get(run)
        if known is None or not known.held:
            return False
        known.held = False
        if self._frozen_at is None:
            trees.send(trees.tree(known.leader), signal.SIGCONT)
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
        roots = [*self._servers, *(run.leader for run in self._runs.values())]
        found = (trees.family(roots) | trees.marked(self._mark)) - self._servers
        return frozenset(process for process in found if process.pid not in (os.getpid(), os.getppid()))

    def _held(self) -> trees.Processes:
        held = [run.leader for run in self._runs.values() if run.held]
        return trees.family(held) if held else frozenset()

    def _kill_all(self) -> int:
        for run in self._runs.values():
            run.killed = True
        killed, _ = trees.kill(self._everything, KILL_SECONDS)
        return len(killed)

    def _event(self, what: str, at: float, processes: int) -> None:
        self._pipe.say({"event": what, "at": at, "processes": processes})


class Pipe:
    """Standard input and output: orders in, answers out. Answers that a stopped supervisor does not read wait here."""

    def __init__(self) -> None:
        self._rest = b""
        self.unsaid = b""
        os.set_blocking(1, False)

    def say(self, line: Mapping[str, Any]) -> None:
        self.unsaid += json.dumps(line).encode() + b"\n"
        self.go_on()

    def go_on(self) -> None:
        """Say as much as there is room for. Raises SupervisorGone."""
        try:
            while self.unsaid:
                self.unsaid = self.unsaid[os.write(1, self.unsaid) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            raise SupervisorGone from None

    def say_the_rest(self) -> None:
        """Whoever has it leave is there to read. Raises SupervisorGone."""
        os.set_blocking(1, True)
        self.go_on()

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
        if pipe.unsaid:
            poll.register(1, select.POLLOUT)
        ready = {descriptor for descriptor, _ in poll.poll(None if at is None else _milliseconds_until(at))}
        if pipe.unsaid:
            poll.unregister(1)
        guard.look()
        pipe.go_on()
        for order in pipe.orders() if 0 in ready else ():
            guard.look()
            if not guard.obey(order):
                pipe.say_the_rest()
                return


def _milliseconds_until(at: float) -> int:
    return max(0, round((at - boot_seconds()) * 1000))


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
