"""What the client knows without a network: the event-stream parser and the errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})


class TensorFleetError(Exception):
    """Root of the client's errors."""


class Unreachable(TensorFleetError):
    """Nobody answered at the service's address."""


class ApiError(TensorFleetError):
    """The service refused; `problem` is the RFC 9457 object that it sent."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", "error"))
        details = [f"{e.get('path')}: {e.get('message')}" for e in problem.get("errors", ())]
        super().__init__("; ".join(details) or str(problem.get("detail") or problem.get("title") or status))


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a stream: its type, its data, and the id to resume after (None when it carries none)."""

    type: str
    data: Mapping[str, Any]
    id: str | None = None

    @property
    def ends_job(self) -> bool:
        """Whether this is the last state of a job."""
        return self.type == "job.state" and self.data.get("to") in TERMINAL


@dataclass(slots=True)
class EventParser:
    """Server-sent events from bytes as they arrive, by the WHATWG rules. `last_id` is what to resume after."""

    last_id: str | None = None
    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterator[StreamEvent]:
        """The events that these bytes complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode()
            if text:
                self._lines.append(text)
            elif self._lines:
                event = self._event()
                self._lines.clear()
                if event is not None:
                    yield event

    def _event(self) -> StreamEvent | None:
        kind, data, own_id = "message", [], None
        for line in self._lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = own_id = value
        return StreamEvent(kind, json.loads("\n".join(data)), own_id) if data else None
