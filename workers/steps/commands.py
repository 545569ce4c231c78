"""A step that is a command: an argument list, never a shell.

It starts with an allow-listed environment, speaks through files (`TF_OUTPUTS`, `TF_EVENTS`, two folders) and its exit
status, and what it prints is the log. It stays in the process group of its run, so that one signal reaches the tree,
and dies with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, cast

from app.domain.environment import forbidden_env, inherited_env, thread_env
from app.domain.json import Json
from app.domain.placeholders import substitute, text_of
from workers.process import die_with_parent
from workers.report import decode
from workers.steps.context import StepContext
from workers.steps.event_file import EventFile
from workers.steps.exchange import Exchange
from workers.steps.failures import CommandEnd, CommandFailed, PermanentFailure

CHECKPOINTED_STATUS = 75
PERMANENT_STATUS = 78
POLL_SECONDS = 0.1
OUTPUT_DRAIN_SECONDS = 2.0
TAIL_LINES = 20
MAX_LINE = 1 << 16
MAX_OUTPUTS = 1 << 20
_LOG_DESCRIPTOR = 1


def run_command(context: StepContext) -> Mapping[str, Json]:
    """Run the step's command to its end and return what it wrote to TF_OUTPUTS.

    Raises CommandFailed by its exit status, PermanentFailure for a command that cannot be started or is ill-formed.
    """
    arguments, env = _resolved(context)
    files = Exchange(context)
    events = EventFile(files.events, context)
    process = _start(arguments, {**_environment(context), **files.variables(), **env}, context.work_dir)
    tail = _Tail(process)
    try:
        while not _ended(process):
            events.read()
        tail.join()
    finally:
        events.read(last=True)
        files.hand_over()
    return _outcome(process.returncode, arguments[0], tail.lines(), files, context)


def _resolved(context: StepContext) -> tuple[list[str], dict[str, str]]:
    """The command and its extra environment, placeholders replaced."""
    command, env = context.specification.command, context.specification.env
    roots = {"parameters": context.parameters, "inputs": context.inputs, "steps": _steps_root(context)}
    try:
        arguments = [text_of(substitute(part, roots)) for part in command or ()]
        extra = {name: text_of(substitute(value, roots)) for name, value in env.items()}
    except ValueError as error:
        raise PermanentFailure(str(error)) from error
    if not arguments or not arguments[0]:
        raise PermanentFailure('command must be a list of arguments such as ["python", "train.py"]; there is no shell')
    if refused := forbidden_env(extra):
        raise PermanentFailure(f"env may not set {', '.join(refused)}; leave them out")
    if any("\0" in text for text in (*arguments, *extra.values())):
        raise PermanentFailure("command and env may not hold NUL characters")
    return arguments, extra


def _steps_root(context: StepContext) -> dict[str, Json]:
    return {step: {"outputs": outputs} for step, outputs in context.outputs.items()}


def _environment(context: StepContext) -> dict[str, str]:
    """Allow-listed, and with Python's output unbuffered: a log that comes in blocks of 8 KiB is not live."""
    gpus = ",".join(map(str, context.run.gpu_indices))
    own = {"CUDA_VISIBLE_DEVICES": gpus, "PYTHONUNBUFFERED": "1"}
    return {**inherited_env(os.environ), **thread_env(context.threads), **own}


def _start(arguments: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    program = shutil.which(arguments[0], path=env.get("PATH", os.defpath))
    if program is None and arguments[0] in ("python", "python3"):
        program = sys.executable
    if program is None:
        raise PermanentFailure(f"command not found on this node: {arguments[0][:200]}")
    try:
        return subprocess.Popen(
            [program, *arguments[1:]],
            env=env,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - one thread here
        )
    except OSError as error:
        raise PermanentFailure(f"{arguments[0][:200]} cannot be started: {error.strerror}") from error


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


class _Tail:
    """Passes the command's output on to the log as it comes, and remembers the last lines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._thread = threading.Thread(
            target=self._copy, args=(cast("IO[bytes]", process.stdout),), name="command-output", daemon=True
        )
        self._thread.start()

    def _copy(self, output: IO[bytes]) -> None:
        with output:
            while line := output.readline(MAX_LINE):
                self._lines.append(line)
                os.write(_LOG_DESCRIPTOR, line)

    def join(self) -> None:
        """Wait for the rest of the output; a background process that keeps the pipe open is not waited for long."""
        self._thread.join(OUTPUT_DRAIN_SECONDS)

    def lines(self) -> tuple[str, ...]:
        return tuple(line.decode(errors="replace").rstrip() for line in list(self._lines))


def _outcome(
    status: int, program: str, lines: tuple[str, ...], files: Exchange, context: StepContext
) -> Mapping[str, Json]:
    if status == 0:
        return _read_outputs(files.outputs)
    end = CommandEnd(status if status > 0 else None, -status if status < 0 else None, lines)
    if status == CHECKPOINTED_STATUS:
        raise CommandFailed(f"{program} saved a checkpoint and asks to be run again", end, "checkpointed")
    said = "\n".join(line for line in lines[-5:] if line)
    how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
    code = "permanent" if status == PERMANENT_STATUS else "error"
    if context.should_stop() and status in (-signal.SIGTERM, 128 + signal.SIGTERM):
        code = "stopped"
    raise CommandFailed(f"{program} {how}" + (f": {said}" if said else ""), end, code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read_outputs(path: Path) -> Mapping[str, Json]:
    """What the command wrote to TF_OUTPUTS; nothing written is no outputs. Raises PermanentFailure on anything else."""
    if not path.exists() or path.stat().st_size == 0:
        return {}
    if path.stat().st_size > MAX_OUTPUTS:
        raise PermanentFailure("TF_OUTPUTS is larger than 1 MiB; keep data in TF_ARTIFACTS instead")
    try:
        outputs = decode(path.read_bytes())
    except ValueError as error:
        raise PermanentFailure(f"TF_OUTPUTS is not JSON: {error}") from error
    if not isinstance(outputs, dict):
        raise PermanentFailure('TF_OUTPUTS must hold a JSON object such as {"accuracy": 0.9}')
    return outputs
