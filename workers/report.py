"""The report of a run: one JSON object a line, from the process that runs the job to its supervisor.

One writer, whole lines, in the order of events; the last line of a run is `finished` or `failed`. Numbers that JSON
cannot hold never reach it: a metric that is not finite is null. A step that reports its progress in a tight loop must
not flood the supervisor, so bare progress is thinned to 20 a second; metrics are a series and all go through.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.domain.json import Json

Send = Callable[[dict[str, Json]], None]
PROGRESS_INTERVAL = 0.05
MAX_MESSAGE = 4_000
MAX_LOG_TEXT = 16_000
_KEY_TROUBLE = re.compile(r"[.$\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used: CPU seconds of it and its commands, peak resident memory of the largest process in MiB."""

    cpu_seconds: float
    peak_memory_mib: float


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run ended without success. `frame` is `file:function`, so that equal failures can be grouped."""

    code: str
    message: str
    step: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    log_tail: tuple[str, ...] = ()
    exception_type: str | None = None
    frame: str | None = None


def encode(line: Mapping[str, Json]) -> bytes:
    """One report line. Raises TypeError on what JSON cannot hold (NaN and infinity become null)."""
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def decode(text: bytes) -> Json:
    """JSON as trainings write it: NaN and infinity, which JSON has not and Python writes, become null. Raises
    ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            return orjson.loads(orjson.dumps(json.loads(text, parse_constant=lambda _: None)))
        except (RecursionError, TypeError) as error:
            raise ValueError(str(error)) from error


def told_metrics(metrics: Mapping[str, Json] | None) -> dict[str, float | None]:
    """The metrics that are numbers, None for one that is not finite or null; characters that a stored key cannot hold
    become `_`."""
    out: dict[str, float | None] = {}
    for name, value in (metrics or {}).items():
        try:
            number = math.nan if value is None else float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        out[_KEY_TROUBLE.sub("_", str(name))[:100] or "_"] = number if math.isfinite(number) else None
    return out


class DescriptorSender:
    """Writes report lines to a file descriptor, whole and in order, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def __call__(self, line: dict[str, Json]) -> None:
        """Raises BrokenPipeError when the supervisor is gone."""
        left = memoryview(encode(line))
        with self._lock:
            while left:
                left = left[os.write(self._descriptor, left) :]


class Reporter:
    """The words of the report. Each method is one line; `send` takes it away."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._progress = 0.0
        self._sent_at = -math.inf
        self._held: dict[str, Json] | None = None

    def step_started(self, step: str) -> None:
        self._progress, self._held, self._sent_at = 0.0, None, -math.inf
        self._send({"type": "step_started", "step": step})

    def step_finished(self, step: str, outputs: Mapping[str, Json]) -> None:
        self.flush()
        self._send({"type": "step_finished", "step": step, "outputs": dict(outputs)})

    def progress(
        self,
        step: str,
        progress: float | None,
        metrics: Mapping[str, Json] | None = None,
        n: int | None = None,
        text: str | None = None,
    ) -> None:
        """`progress` 0..1 of this step, None keeps the last one. Bare progress may be held back for a moment."""
        if progress is not None and math.isfinite(progress):
            self._progress = min(1.0, max(0.0, float(progress)))
        numbers = told_metrics(metrics)
        line = {"type": "progress", "step": step, "progress": self._progress, "metrics": numbers, "n": n, "text": text}
        now = time.monotonic()
        if not numbers and now - self._sent_at < PROGRESS_INTERVAL:
            self._held = line
            return
        self._held, self._sent_at = None, now
        self._send(line)

    def log(self, step: str, text: str) -> None:
        self._send({"type": "log", "step": step, "text": text[:MAX_LOG_TEXT]})

    def artifact(self, name: str, path: str, kind: str) -> None:
        self._send({"type": "artifact", "name": name, "path": path, "kind": kind})

    def checkpoint(self, path: str) -> None:
        self._send({"type": "checkpoint", "path": path})

    def finished(self, usage: Usage) -> None:
        self.flush()
        self._send({"type": "finished", "usage": _usage(usage)})

    def failed(self, failure: Failure, usage: Usage) -> None:
        self.flush()
        self._send(
            {
                "type": "failed",
                "code": failure.code,
                "message": failure.message[:MAX_MESSAGE],
                "step": failure.step,
                "exit_code": failure.exit_code,
                "signal": failure.signal,
                "log_tail": _clipped(failure.log_tail),
                "exception_type": failure.exception_type,
                "frame": failure.frame,
                "usage": _usage(usage),
            }
        )

    def flush(self) -> None:
        """Send the progress that was held back, if any."""
        held, self._held = self._held, None
        if held is not None:
            self._send(held)


def _usage(usage: Usage) -> dict[str, Json]:
    return {"cpu_seconds": round(usage.cpu_seconds, 3), "peak_memory_mib": round(usage.peak_memory_mib, 1)}


def _clipped(lines: Sequence[str]) -> list[str]:
    return [line[:MAX_LOG_TEXT] for line in lines]
