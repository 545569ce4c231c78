"""Telling others over HTTP, as a protocol: signed, to an address that somebody named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.json import Json


@dataclass(frozen=True, slots=True)
class Message:
    """What is told. `id`: the same however often it is sent, so that a receiver knows it again; `type`: like
    `batch.ended`."""

    id: str
    type: str
    at: datetime
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a try went. `trouble`: why it did not arrive; `final`: another try would not help."""

    trouble: str | None = None
    final: bool = False


class Webhooks(Protocol):
    """Sends signed messages."""

    def refusal(self, url: str) -> str | None:
        """Why nothing could be sent to that address, as far as that can be told without asking anybody."""

    async def send(self, url: str, message: Message) -> Delivery:
        """One try. Never raises for what goes wrong outside."""
