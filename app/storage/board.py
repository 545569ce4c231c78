"""The board as bytes: JSON, so that processes of different versions can share a Redis.

A board of another shape is worth nothing, and a new one follows within a second: it reads as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
import structlog

from app.domain.estimates import Forecast
from app.domain.explain import Reason
from app.domain.priority import Priority
from app.domain.promises import Promise
from app.domain.records import Board

log = structlog.get_logger()


def encode_board(board: Board) -> bytes:
    """The board as JSON; times keep their microseconds."""
    return orjson.dumps(
        {
            "at": board.at,
            "forecast": {
                "at": board.forecast.at,
                "pace": board.forecast.pace,
                "buckets": dict(board.forecast.buckets),
                "windows": board.forecast.windows,
                "mean_waits": {p.value: s for p, s in board.forecast.mean_waits.items()},
            },
            "verdicts": {
                bucket: [[r.code, r.summary, dict(r.facts)] for r in reasons]
                for bucket, reasons in board.verdicts.items()
            },
            "bands": dict(board.bands),
            "lane": board.lane,
            "promises": [promise.parts() for promise in board.promises],
            "paused": board.paused,
        }
    )


def decode_board(data: bytes) -> Board | None:
    """The board; None when it has another shape."""
    try:
        return _board(orjson.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("board.unreadable", error=repr(error))
        return None


def _board(parts: Mapping[str, Any]) -> Board:
    forecast = parts["forecast"]
    buckets = {bucket: tuple((int(n), float(s)) for n, s in points) for bucket, points in forecast["buckets"].items()}
    verdicts = {
        bucket: tuple(Reason(code, summary, facts) for code, summary, facts in reasons)
        for bucket, reasons in parts["verdicts"].items()
    }
    return Board(
        datetime.fromisoformat(parts["at"]),
        Forecast(
            datetime.fromisoformat(forecast["at"]),
            buckets,
            float(forecast["pace"]),
            tuple((float(low), float(high)) for low, high in forecast["windows"]),
            {Priority(p): float(s) for p, s in forecast["mean_waits"].items()},
        ),
        verdicts,
        {str(tenant): int(band) for tenant, band in parts["bands"].items()},
        tuple(map(str, parts["lane"])),
        tuple(map(Promise.from_parts, parts["promises"])),
        bool(parts["paused"]),
    )
