"""The steps of a run, one after another, and one verdict at the end.

`run_steps` knows nothing of processes: it gets a specification, a reporter and a stop flag, so that the job's own
process and the warm process of the inline executor run steps in the same way. It never raises for what a step does.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from app.domain.errors import Invalid
from app.domain.json import Json
from app.domain.nearest import unknown_name
from workers.report import Failure, Reporter, encode
from workers.steps.commands import CHECKPOINTED_STATUS, PERMANENT_STATUS, run_command
from workers.steps.context import StepContext
from workers.steps.failures import CommandFailed, PermanentFailure, StepEnd, Stopped
from workers.steps.registry import StepFunction, builtin_function, registered_function
from workers.steps.specification import RunSpecification, StepSpecification
from workers.steps.stop import StopFlag

MAX_OUTPUTS = 1 << 20
TAIL_LINES = 20
_STATUS_CODES = {CHECKPOINTED_STATUS: "checkpointed", PERMANENT_STATUS: "permanent"}
_FINDERS: Mapping[str, Callable[[str], StepFunction]] = {
    "builtin": builtin_function,
    "function": registered_function,
    "command": lambda _step: run_command,
}


def run_steps(run: RunSpecification, reporter: Reporter, stop: StopFlag) -> Failure | None:
    """Run the steps in order; report each one's start, outputs and log. None when all succeeded."""
    state: dict[str, Any] = {}
    outputs: dict[str, Mapping[str, Json]] = {}
    for step in run.steps:
        ended = run_step(StepContext(run, step, reporter, stop, state, outputs))
        if isinstance(ended, Failure):
            return ended
        outputs[step.step] = ended
    return None


def run_step(context: StepContext) -> Mapping[str, Json] | Failure:
    """Run one step, or take over its outputs when an earlier attempt completed it. Gives its outputs."""
    step = context.step
    if context.stop.requested():
        return Failure("stopped", f"asked to stop before step {step}", step)
    context.reporter.step_started(step)
    try:
        outputs = _outputs_of(context)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever a step does is its verdict
        return _failure(context, error)
    context.reporter.step_finished(step, outputs)
    return outputs


def find_function(step: StepSpecification) -> StepFunction:
    """What runs this step. Raises PermanentFailure when this node has nothing for it."""
    finder = _FINDERS.get(step.kind)
    if finder is None:
        raise PermanentFailure(unknown_name("kind of step", step.kind, _FINDERS)[0])
    return finder(step.step)


def _outputs_of(context: StepContext) -> Mapping[str, Json]:
    completed = context.run.completed_steps.get(context.step)
    if completed is not None:
        context.log(f"step {context.step} was completed in an earlier attempt")
        return completed
    return checked_outputs(context.step, find_function(context.specification)(context))


def checked_outputs(step: str, outputs: Any) -> dict[str, Json]:
    """A step's returned value as outputs. Raises PermanentFailure when it is no JSON object of at most 1 MiB."""
    if outputs is None:
        return {}
    if not isinstance(outputs, Mapping):
        raise PermanentFailure(f"step {step} returned {type(outputs).__name__}; return a mapping, or nothing")
    try:
        size = len(encode(outputs))
    except TypeError as error:
        raise PermanentFailure(f"step {step} returned what JSON cannot hold: {error}") from error
    if size > MAX_OUTPUTS:
        raise PermanentFailure(f"step {step} returned {size >> 20} MiB of outputs; keep data as an artifact instead")
    return {str(name): value for name, value in outputs.items()}


def _failure(context: StepContext, error: BaseException) -> Failure:
    step = context.step
    if isinstance(error, CommandFailed):
        end = error.end
        return Failure(error.code, str(error), step, end.exit_code, end.signal, end.log_tail, "CommandFailed")
    if isinstance(error, StepEnd):
        return Failure(error.code, str(error) or error.code, step, exception_type=type(error).__name__)
    if isinstance(error, Invalid):
        message = "; ".join(f"{each.path}: {each.message}" for each in error.errors)
        return Failure("permanent", message, step, exception_type=type(error).__name__)
    if isinstance(error, SystemExit):
        return _exit_failure(step, error)
    return _crash(context, error)


def _exit_failure(step: str, error: SystemExit) -> Failure:
    """`sys.exit(n)` in a function means what the exit status of a command means."""
    status = error.code if isinstance(error.code, int) else int(error.code is not None)
    said = error.code if isinstance(error.code, str) else f"the step called exit({status})"
    return Failure(_STATUS_CODES.get(status, "error"), said, step, exit_code=status, exception_type="SystemExit")


def _crash(context: StepContext, error: BaseException) -> Failure:
    said_lines = "".join(traceback.format_exception(error)).splitlines()
    lines = [line for line in said_lines if line.strip(" ^~")]
    context.log("\n".join(lines))
    name = type(error).__name__
    said = str(error)
    return Failure(
        code=Stopped.code if isinstance(error, KeyboardInterrupt) else "error",
        message=f"{name}: {said}" if said else name,
        step=context.step,
        log_tail=tuple(lines[-TAIL_LINES:]),
        exception_type=name,
        frame=_frame(error.__traceback__),
    )


def _frame(trace: TracebackType | None) -> str | None:
    """`file:function` of the innermost frame that is not a library's, so that equal failures have equal frames."""
    frames = [(each.f_code.co_filename, each.f_code.co_name) for each, _ in traceback.walk_tb(trace)]
    own = [(file, function) for file, function in frames if not _is_library(file)] or frames
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else None


_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})


def _is_library(file: str) -> bool:
    return file.startswith(_LIBRARIES) or file.startswith("<")
