"""The file `TF_EVENTS`, read while the command appends to it: one JSON object a line.

`{"progress": 0.4, "metrics": {"loss": 0.2}, "step": 3, "text": "epoch 3"}`, every field optional. A line counts when
its end has been written; a line that is no such object is passed over and said once, since a typing error in a report
must not cost a training.
"""

from __future__ import annotations

from pathlib import Path

from app.domain.json import Json
from workers.report import decode
from workers.steps.context import StepContext

MAX_READ = 1 << 20


class EventFile:
    """Follows one file from its beginning."""

    def __init__(self, path: Path, context: StepContext) -> None:
        self._path = path
        self._context = context
        self._offset = 0
        self._rest = b""
        self._complained = False

    def read(self, *, last: bool = False) -> None:
        """Report what was appended since the last call; with `last`, all of it, and an unended line too."""
        while chunk := self._chunk():
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._report(line)
            if not last:
                break
        if last and self._rest:
            rest, self._rest = self._rest, b""
            self._report(rest)

    def _chunk(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(MAX_READ)
        except OSError:
            return b""
        self._offset += len(chunk)
        return chunk

    def _report(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = decode(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._complain(line)
            return
        metrics = event.get("metrics")
        self._context.report(
            progress=_number(event.get("progress")),
            metrics=metrics if isinstance(metrics, dict) else None,
            step=_whole(event.get("step")),
            text=event.get("text") if isinstance(event.get("text"), str) else None,
        )

    def _complain(self, line: bytes) -> None:
        if not self._complained:
            self._complained = True
            shown = line[:80].decode(errors="replace")
            self._context.log(f"TF_EVENTS: a line is not a JSON object and was passed over: {shown}")


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
