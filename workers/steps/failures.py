"""How a step ends without success, beside any other exception (which is an `error` and may be tried again).

StepEnd
├── PermanentFailure   trying again cannot help: wrong data, wrong parameters
├── Checkpointed       "run me again": what was done so far is in the checkpoint, no attempt is used
├── Stopped            the step saw `should_stop()` and gave up early
└── CommandFailed      a command ended with a status that means an error
"""

from __future__ import annotations

from dataclasses import dataclass


class StepEnd(Exception):
    """Root of the deliberate ends. `code` is what the report of the run says."""

    code = "error"


class PermanentFailure(StepEnd):
    """The run cannot succeed, however often it is tried. The message says what to change."""

    code = "permanent"


class Checkpointed(StepEnd):
    """The step saved its state and asks to be run again."""

    code = "checkpointed"


class Stopped(StepEnd):
    """The step ended early because it was asked to stop."""

    code = "stopped"


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended: its exit status, or the signal that ended it, and the last lines that it printed."""

    exit_code: int | None
    signal: int | None
    log_tail: tuple[str, ...]


class CommandFailed(StepEnd):
    """A command did not end with status 0. `code` is decided by how it ended."""

    def __init__(self, message: str, end: CommandEnd, code: str = "error") -> None:
        super().__init__(message)
        self.end = end
        self.code = code
