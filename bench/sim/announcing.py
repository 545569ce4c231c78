"""The service's own policy, which also tells each job when it should start, and learns from what came of it.

As in the service: a forecast is made when the state has changed, not more often than every so many seconds; a job is
told on submission what the last forecast says of its place; the window of that is learned from those that have started
since. `fresh`: each job is told what a forecast says
that was made with it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import fmean

from app.domain.calibration import Announcement, Calibration, factors, learn
from app.domain.estimates import Forecast, announcement, start_estimate
from app.domain.priority import SECOND, Priority, moment
from app.scheduler.arrivals import Arrivals
from app.scheduler.forecast import forecast
from bench.sim.engine import History, Start
from bench.sim.jobs import HOUR, SimJob
from bench.sim.ledger import Ledger, Run
from bench.sim.ours import Ours

REFRESH = 60 * SECOND
"""Of simulated time, between forecasts; the service's is shorter when little waits."""


class Announcing(Ours):
    """Decides as `Ours` does. `calibration`: what came of the announcements."""

    def __init__(self, *, fresh: bool = False) -> None:
        super().__init__(name="announcing-fresh" if fresh else "announcing")
        self._fresh = fresh
        self._new: list[SimJob] = []
        self.calibration = Calibration()
        self._board = Forecast(moment(0), {}, 0.0)
        self._next = 0
        self._arrivals = Arrivals()
        self._said: dict[str, Announcement] = {}
        self._waits: dict[Priority, deque[tuple[int, float]]] = {p: deque() for p in Priority}

    def submitted(self, job: SimJob) -> None:
        """It begins to wait, and is told when it should start."""
        super().submitted(job)
        if self._fresh:
            self._new.append(job)
        else:
            self._announce(job)

    def _announce(self, job: SimJob) -> None:
        waiting = self.index.waiting(job.id)
        place, position = self.index.place(job.id), len(self.index)
        now = moment(job.submitted)
        board = replace(self._board, windows=factors(self.calibration), mean_waits=self._mean_waits(job.submitted))
        estimate = start_estimate(board, waiting.bucket_id, place, position, now)
        self._said[job.id] = announcement(estimate, board, job.priority, now)

    def started(self, run: Run) -> None:
        super().started(run)
        waited = (run.started - run.job.submitted) / SECOND
        self.calibration = learn(self.calibration, self._said.pop(run.job.id), waited)
        self._waits[run.job.priority].append((run.started, waited))

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        """A cycle, after a forecast of what the last one left when that is due."""
        before = self.snapshot(ledger, now)
        if (self._new or now >= self._next) and self.index.members:
            self._board = forecast(before, self._board.pace, self._arrivals.loss(), self._arrivals.empty(before))
            self._next = now + REFRESH
        for job in self._new:
            self._announce(job)
        self._new.clear()
        starts, again = super().decide(ledger, now)
        self._arrivals.seen(before, [self.index.waiting(s.job.id).bucket_id for s in starts])
        return starts, again

    def finish(self, history: History) -> None:
        super().finish(history)
        history.calibration = self.calibration

    def _mean_waits(self, now: int) -> dict[Priority, float]:
        """Of those that started in the last hour, by class."""
        for waits in self._waits.values():
            while waits and waits[0][0] < now - HOUR:
                waits.popleft()
        return {p: fmean(w for _, w in waits) for p, waits in self._waits.items() if waits}
