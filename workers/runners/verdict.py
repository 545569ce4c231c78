"""How a run ended, as known when its last process is gone: why it was stopped, its last line, its exit status."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace

from app.domain.json import Json
from workers.run import LEAVES_NODE, RunEnding, RunReport
from workers.usage import Usage

_CODES = {
    "error": RunEnding.ERROR,
    "permanent": RunEnding.PERMANENT,
    "checkpointed": RunEnding.CHECKPOINTED,
    "stopped": RunEnding.ERROR,
}


def stopped(
    reason: tuple[RunEnding, str],
    step: str | None,
    last: Mapping[str, Json] | None,
    usage: Usage,
    inherited_mib: float,
) -> RunReport:
    """A run that we ended: whatever it said, the reason is ours; but one that was only to leave the node may finish."""
    ending, message = reason
    if ending in LEAVES_NODE and last is not None and last["type"] == "finished":
        return last_word(last, usage, inherited_mib)
    return _measured(RunReport(ending, message, step), last, usage, inherited_mib)


def last_word(last: Mapping[str, Json], usage: Usage, inherited_mib: float) -> RunReport:
    """A run that said how it ended."""
    if last["type"] == "finished":
        return _measured(RunReport(RunEnding.FINISHED), last, usage, inherited_mib)
    report = RunReport(
        ending=_CODES.get(last.get("code") or "", RunEnding.ERROR),
        message=str(last.get("message") or "failed without a message"),
        step=last.get("step"),
        exit_code=last.get("exit_code"),
        signal=last.get("signal"),
        log_tail=tuple(last.get("log_tail") or ()),
        exception_type=last.get("exception_type"),
        frame=last.get("frame"),
    )
    return _measured(report, last, usage, inherited_mib)


def died(status: int | None, step: str | None, usage: Usage) -> RunReport:
    """A run whose process ended without a word. None: the fork server died and took it along; that is not its doing."""
    if status is None:
        message = "the fork server of the worker died, and the run with it"
        return _measured(RunReport(RunEnding.CRASHED, message, step), None, usage, 0.0)
    number = -status if status < 0 else None
    if number is None:
        how = f"ended with status {status} before it reported"
    else:
        how = f"was killed by {_name(number)}" + _hint(number)
    exit_code = status if number is None else None
    report = RunReport(RunEnding.ERROR, f"the job's process {how}", step, exit_code, number)
    return _measured(report, None, usage, 0.0)


def _measured(report: RunReport, last: Mapping[str, Json] | None, usage: Usage, inherited_mib: float) -> RunReport:
    """With what it used: the larger of what was watched and what the process says, which knows short peaks."""
    said = (last or {}).get("usage") or {}
    memory = max(usage.peak_memory_mib, (said.get("peak_memory_mib") or 0.0) - inherited_mib)
    seconds = max(usage.cpu_seconds, said.get("cpu_seconds") or 0.0)
    return replace(report, peak_memory_mib=round(max(0.0, memory), 1), cpu_seconds=round(seconds, 3))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hint(number: int) -> str:
    if number == signal.SIGKILL:
        return "; nobody here sent it, so the system may have run out of memory"
    return " (a crash in native code)" if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT) else ""
