"""The change feed as a protocol: what became durable, told in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Protocol

from app.domain.events import Event


class ChangeFeed(Protocol):
    """Every transition, progress and log line, as it becomes durable.

    Of the events that one write gives only the last has a token: resuming after it misses none and repeats none.
    """

    @property
    def mode(self) -> str:
        """`watch`: pushed by the store as it happens; `poll`: the store refuses to push, so it is asked each second."""

    def events(self, after: str | None = None) -> AsyncGenerator[Event, None]:
        """From now on, or after that token. A lost history gives one `resync` event, never a silent gap."""

    async def opened(self) -> None:
        """Returns when an iterator of `events` is open: what becomes durable from here on is told by it."""

    async def caught_up(self) -> None:
        """Returns when the iterator of `events` has told all that was durable when it was opened."""

    async def token_before(self, span: timedelta) -> str:
        """A token from which `events` tells what became durable in so long a time before now; a resync, where the
        store's history is shorter."""

    async def token_now(self) -> str:
        """A token to resume from: everything that becomes durable after this call comes after it."""

    async def valid_token(self, token: str) -> bool:
        """Whether the text can be a token of this feed. False for whatever else was sent."""
