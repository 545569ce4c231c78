"""The process of one run: forked from the fork server with the libraries already loaded, it runs the steps and ends.

It leads a session and a process group of its own, so that one signal reaches everything that it starts; it is killed
with its parent; SIGTERM asks it to stop (`should_stop()`), a second SIGTERM ends it. The only ways out are the report
and the log, two pipes that the supervisor reads.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

import orjson

from workers.process import die_with_parent, keep_to_cpus, limit_threads, usage
from workers.report import DescriptorSender, Failure, Reporter
from workers.steps.runner import run_steps
from workers.steps.specification import RunSpecification
from workers.steps.stop import SignalStop

Pipe = int | Connection
"""A pipe's writing end: a descriptor of this process, or a connection (which multiprocessing hands over by itself)."""

LIGHT: tuple[str, ...] = ("workers.child", "workers.warm", "workers.steps.light", "workers.steps.commands")
"""What a fork server loads for runs that need no library."""
PRELOAD: tuple[str, ...] = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "sklearn.compose",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.feature_selection",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "sklearn.tree",
    "skops.io",
    "threadpoolctl",
    *LIGHT,
    "workers.steps.ml.preparation",
    "workers.steps.ml.training",
    "workers.steps.ml.evaluation",
    "workers.steps.ml.inference",
)
"""What a fork server loads once for all other runs, so that each starts at once."""


def main(spec_json: str, report: Pipe, log: Pipe) -> None:
    """Run one job's steps as `spec_json` says, in a freshly forked process. Returns when the report is complete."""
    stop = _own_process(log)
    reporter = Reporter(DescriptorSender(_descriptor(report)))
    run = RunSpecification.from_json(orjson.loads(spec_json))
    keep_to_cpus(run.cpus)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, run.gpu_indices))
    limit_threads(run.threads)
    os.chdir(run.work_dir)
    failure = run_steps(run, reporter, stop)
    _flush()
    _conclude(reporter, failure)


def _own_process(log: Pipe) -> SignalStop:
    os.setsid()
    die_with_parent(os.getppid())
    stop = SignalStop()
    signal.signal(signal.SIGTERM, _stop_once(stop))
    for standard in (1, 2):
        os.dup2(_descriptor(log), standard)
    _line_buffered()
    return stop


def _stop_once(stop: SignalStop) -> Callable[[int, FrameType | None], None]:
    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.request()

    return on_signal


def _conclude(reporter: Reporter, failure: Failure | None) -> None:
    if failure is None:
        reporter.finished(usage())
    else:
        reporter.failed(failure, usage())


def _descriptor(pipe: Pipe) -> int:
    return pipe if isinstance(pipe, int) else pipe.fileno()


def _line_buffered() -> None:
    """What a step prints shows at once, whatever the fork server's own output was."""
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
