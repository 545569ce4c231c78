"""A run that lives on this node, and the set of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from app.clock import Clock
from app.domain.job import Job
from app.domain.json import Json
from app.domain.secrets import Redact, redacted, redactor
from workers.checkpoints import Sight
from workers.logbook import Logbook
from workers.record import RunRecord
from workers.run import RunEnding, RunKey, Runner

_STRUCTURE = frozenset({"type", "step", "path"})


class Kept:
    """What is in the store of a live run's checkpoints. `stored_at` on the loop's clock; `steps`: how many outputs."""

    def __init__(self) -> None:
        self.seen: Sight = ()
        self.stored: Sight = ()
        self.stored_at = float("-inf")
        self.steps = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def any(self) -> bool:
        """Whether this run has stored something for the next."""
        return bool(self.stored or self.steps)

    @property
    def busy(self) -> bool:
        """Whether something is being stored now."""
        return self.task is not None and not self.task.done()

    async def stop(self) -> None:
        """The run has ended: what is being stored is given up, since its end stores the last of it."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])


class LiveRun:
    """One claimed run: the job as it was claimed, what was heard of it, and how to stop it. A `Listener`."""

    def __init__(self, job: Job, runner: Runner, clock: Clock) -> None:
        self.job = job
        self.key = RunKey(job.id, job.run_no)
        self.record = RunRecord(job.run_no, [step.step for step in job.steps])
        self._cut: Redact | None = None
        self.logbook = Logbook(redact=self.redact)
        self.kept = Kept()
        self.task: asyncio.Task[None] | None = None
        self.ending = False
        """Set when the run is over and its end is being stored: its state is no longer a wish to others."""
        self.progress_saved_at = float("-inf")
        self.stop_reason: RunEnding | None = None
        self.frozen_since: float | None = None
        """Since when a user has it frozen, on the loop's clock."""
        self.runner = runner
        self._clock = clock

    def keep_secret(self, values: Iterable[Json]) -> None:
        """From now on these values are cut out of whatever the run says."""
        self._cut = redactor(values)

    def redact(self, text: str) -> str:
        """The text without the run's secrets."""
        return text if self._cut is None else self._cut(text)

    def heard(self, line: Mapping[str, Json]) -> None:
        """A report line; see `Listener`."""
        at = self._clock.now()
        if line.get("type") == "log":
            self.logbook.said(line["text"], line.get("step"), at)
        else:
            self.record.note(line if self._cut is None else self._redacted(line, self._cut), at)

    def _redacted(self, line: Mapping[str, Json], cut: Redact) -> Mapping[str, Json]:
        """A report line as it may be kept. Paths stay: they lead to files, and are kept by nobody."""
        return {key: value if key in _STRUCTURE else redacted(value, cut) for key, value in line.items()}

    def printed(self, data: bytes) -> None:
        """Output of the run; see `Listener`."""
        self.logbook.printed(data, self.record.step, self._clock.now())

    def say(self, text: str) -> None:
        """A line of the supervisor's own for the job's log."""
        self.logbook.said(text, self.record.step, self._clock.now())

    def stop(self, reason: RunEnding, message: str = "") -> None:
        """Have it end; the first reason stays, also when it was not yet started."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.runner.stop(self.key, reason, message)


class LiveRuns:
    """The live runs of the node, by key."""

    def __init__(self) -> None:
        self._runs: dict[RunKey, LiveRun] = {}
        self._changed = asyncio.Event()

    def add(self, run: LiveRun) -> None:
        self._runs[run.key] = run

    def remove(self, run: LiveRun) -> None:
        self._runs.pop(run.key, None)
        self._changed.set()

    def __contains__(self, key: object) -> bool:
        return key in self._runs

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._runs.values()))

    def get(self, key: RunKey) -> LiveRun | None:
        return self._runs.get(key)

    def stop_all(self, reason: RunEnding, message: str = "") -> None:
        for run in self:
            run.stop(reason, message)

    async def all_ended(self, timeout: float) -> bool:
        """Wait until none lives, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._runs:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
