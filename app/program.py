"""This program as the command line of a child: by the interpreter that runs now, and bound to this process where that
is wanted. Other parts are found by the names of their commands, without an import."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from app import bound

TENSORFLEET = str(Path(sys.executable).with_name("tensorfleet"))


def tensorfleet(*arguments: str) -> list[str]:
    """`tensorfleet ARGUMENT…`."""
    return [sys.executable, TENSORFLEET, *arguments]


def bound_to_me(command: Sequence[str], ending: signal.Signals) -> list[str]:
    """The command, which gets the signal when the thread that starts it dies. Its program must be an absolute path."""
    return [sys.executable, "-I", "-S", bound.__file__, str(os.getpid()), str(int(ending)), *command]
