"""A memory adapter of what is told to others, for tests: what was sent, and what the test wants to be answered."""

from __future__ import annotations

from app.domain.ports import Delivery, Message


class MemoryWebhooks:
    """`Webhooks` over a list."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.answers: list[Delivery] = []
        self.refuses: str | None = None

    def refusal(self, url: str) -> str | None:
        return self.refuses if url else None

    async def send(self, url: str, message: Message) -> Delivery:
        self.sent.append((url, message))
        return self.answers.pop(0) if self.answers else Delivery()
