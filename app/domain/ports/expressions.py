"""The evaluation of expressions as a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.expressions import Evaluation, Expression, Fault, Typed, Value


class Expressions(Protocol):
    """Checks and evaluates expressions under bounds of size, time and memory. Faults are answers, never raised."""

    async def check(self, wanted: Sequence[Expression], whose: str = "") -> list[Typed | Fault]:
        """The type of each, in order, or what is wrong with its text. `whose`: as of `evaluate`."""

    async def evaluate(self, wanted: Sequence[Evaluation], whose: str = "") -> list[Value | Fault]:
        """The value of each, in order, or why it has none. `whose`: the tenant that asks; they are served in turn."""

    async def stop(self) -> None:
        """End what evaluates."""
