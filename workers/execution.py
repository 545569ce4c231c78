"""The way of one run on its node: prepare, run, keep what it left, tell how it ended. A pipeline over one live run.

Whatever happens, the run ends with exactly one ending; an error of ours is an error of the run that says so, and the
fork server keeps the others apart from it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from app.domain.job import Job
from app.domain.states import JobStatus
from app.services import Services
from workers.collection import forget_checkpoints, keep_files, keep_for_next_run
from workers.ends import Ends
from workers.home import NodeHome
from workers.live import LiveRun, LiveRuns
from workers.outcome import Ending
from workers.patience import until_answered
from workers.preparation import CannotPrepare, gather_inputs, order_for, revealed
from workers.processors import Processors
from workers.run import SUCCESSES, RunEnding, Runner, RunReport
from workers.runners.fork_server import NurseryClosed
from workers.scribe import Scribe

log = structlog.get_logger()
INLINE = "inline"


class Executor:
    """Takes claimed jobs and sees each run through to its durable end."""

    def __init__(
        self,
        services: Services,
        home: NodeHome,
        runners: Mapping[str, Runner],
        processors: Processors,
        runs: LiveRuns,
        scribe: Scribe,
        ends: Ends,
    ) -> None:
        self._services = services
        self._home = home
        self._runners = runners
        self._processors = processors
        self._runs = runs
        self._scribe = scribe
        self._ends = ends

    def begin(self, job: Job) -> LiveRun:
        """Start the run of a job that this node has claimed (RUNNING). It lives in the set of runs from now on."""
        run = LiveRun(job, self._runners.get(job.executor) or self._runners["process"], self._services.clock)
        self._runs.add(run)
        run.task = asyncio.create_task(self._see_through(run), name=f"run {run.key}")
        return run

    async def _see_through(self, run: LiveRun) -> None:
        try:
            report = _redacted(await self._perform(run), run.redact)
            run.ending = True
            await run.kept.stop()
            ending = await self._kept(run, report)
            after = await self._ends.commit(run.job, ending)
            if after is not None and run.job.executor != INLINE:
                log.info("run.ended", job_id=run.job.id, run_no=run.job.run_no, status=after.status, **_facts(report))
                if after.status is JobStatus.COMPLETED and (run.kept.any or run.job.run_no > 1):
                    await forget_checkpoints(self._services, run.job)
        except Exception:
            log.exception("run.abandoned", job_id=run.job.id, run_no=run.job.run_no)
        finally:
            self._runs.remove(run)
            folder = self._home.run_folder(run.key)
            if folder.exists():
                await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _perform(self, run: LiveRun) -> RunReport:
        """Prepare and run. Every fault before the start is an ending, too."""
        cpus = self._processors.take(run.job.resources.cpu_millicores)
        try:
            return await self._run(run, cpus)
        except CannotPrepare as fault:
            return RunReport(RunEnding.PERMANENT, str(fault))
        except NurseryClosed as fault:
            return RunReport(RunEnding.DRAINED, str(fault))
        except Exception as error:
            log.exception("run.failed_here", job_id=run.job.id, run_no=run.job.run_no)
            return RunReport(RunEnding.ERROR, f"the worker could not run this: {type(error).__name__}: {error}")
        finally:
            self._processors.give_back(cpus)

    async def _run(self, run: LiveRun, cpus: tuple[int, ...]) -> RunReport:
        folder = self._home.run_folder(run.key)
        job = await until_answered("secrets", lambda: revealed(self._services, run.job), run.say)
        run.keep_secret(job.parameters[name] for name in job.secrets)
        if job.executor != INLINE:
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        inputs = await until_answered("gather_inputs", lambda: gather_inputs(self._services, job, folder), run.say)
        if run.stop_reason is not None:
            return RunReport(run.stop_reason, "stopped before it began")
        root = self._services.settings.data.root.resolve()
        return await run.runner.run(order_for(job, folder, root, cpus, inputs), run)

    async def _kept(self, run: LiveRun, report: RunReport) -> Ending:
        """The ending with all that the run left; without, and as an error, when that cannot be stored."""
        try:
            return await self._collect(run, report)
        except Exception as error:
            log.exception("run.leavings_lost", job_id=run.job.id, run_no=run.job.run_no)
            message = f"what the run left could not be stored: {type(error).__name__}: {error}"[:1_000]
            return Ending(run.key, replace(report, ending=RunEnding.ERROR, message=message))

    async def _collect(self, run: LiveRun, report: RunReport) -> Ending:
        """Everything that must be stored before the end is: files, the checkpoint, the last lines."""
        folder = self._home.run_folder(run.key)
        checkpoint = None
        if report.ending is RunEnding.FENCED:
            return Ending(run.key, report)
        if run.record.files():
            await until_answered(
                "keep_files", lambda: keep_files(self._services, run.job, run.record, folder, run.say), run.say
            )
        if report.ending not in SUCCESSES and folder.exists():
            checkpoint = await until_answered(
                "keep_checkpoint",
                lambda: keep_for_next_run(self._services, run.job, run.record, run.kept, folder),
                run.say,
            )
        await self._scribe.finish(run)
        return self._ending(run, report, checkpoint)

    def _ending(self, run: LiveRun, report: RunReport, checkpoint: str | None) -> Ending:
        finished = report.ending in SUCCESSES
        if not finished and not report.log_tail:
            report = replace(report, log_tail=run.logbook.last_lines())
        progress = run.record.final_progress(report, self._services.clock.now())
        return Ending(run.key, report, progress, run.record.result() if finished else None, checkpoint)


def _redacted(report: RunReport, redact: Callable[[str], str]) -> RunReport:
    return replace(report, message=redact(report.message), log_tail=tuple(map(redact, report.log_tail)))


def _facts(report: RunReport) -> dict[str, object]:
    return {
        "ending": report.ending,
        "step": report.step,
        "peak_memory_mib": report.peak_memory_mib,
        "cpu_seconds": report.cpu_seconds,
    }
