"""Tokens of the change feed as text of `[A-Za-z0-9_-]`: what a client sends back to go on from where it was.

A watch token is the server's resume token in hexadecimal, and begins with its cluster time; a poll token is a moment in
milliseconds. The first letter tells which. Tokens of one kind sort as text in the order of what they follow. What a
client sends is hostile until `decode` has accepted it, and even then the server may refuse it; so a token only ever
leads to events or to a resync.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

# 82 is the type byte of a BSON timestamp, with which every resume token of a supported server begins.
_WATCH = re.compile(r"w82(?:[0-9a-f]{2}){8,500}")
_POLL = re.compile(r"p([0-9]{15})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WatchPoint:
    """A place in the change stream: the server's resume token."""

    data: str

    @classmethod
    def of(cls, token: Mapping[str, Any] | None) -> WatchPoint:
        """From the driver's resume token; an open stream always has one."""
        if token is None:
            raise ValueError("the change stream has no resume token")
        return cls(str(token["_data"]))

    @property
    def document(self) -> dict[str, str]:
        """As the driver takes it."""
        return {"_data": self.data}

    @property
    def seconds(self) -> int:
        """Its cluster time, in seconds since 1970."""
        return int(self.data[2:10], 16)

    @property
    def cluster_time(self) -> str:
        """Its cluster time as 16 hexadecimal digits, which sort in its order."""
        return self.data[2:18].upper()

    @property
    def text(self) -> str:
        """As clients see it."""
        return "w" + self.data.lower()


@dataclass(frozen=True, slots=True)
class PollPoint:
    """A moment up to which the store was asked."""

    at: datetime

    def before(self, span: timedelta) -> PollPoint:
        """So much earlier."""
        return PollPoint(max(_EPOCH, self.at - span))

    @property
    def text(self) -> str:
        """As clients see it."""
        return f"p{(self.at - _EPOCH) // timedelta(milliseconds=1):015d}"


def decode(text: str) -> WatchPoint | PollPoint | None:
    """What a client sent, or None when it cannot be a token. Never raises."""
    if _WATCH.fullmatch(text):
        return WatchPoint(text[1:].upper())
    if moment := _POLL.fullmatch(text):
        try:
            return PollPoint(_EPOCH + timedelta(milliseconds=int(moment[1])))
        except OverflowError:
            return None
    return None
