"""What sweeps need of the world, as protocols: where trials are recorded, and who models what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.domain.sweeps.space import Space, Values
from app.domain.sweeps.trials import Trial


class TrialStore(Protocol):
    """Trials of sweeps. One of a number is recorded once; what is recorded of it later is guarded by its `seq`."""

    async def insert(self, trials: Sequence[Trial]) -> list[Trial]:
        """Durable when it returns. Those that stand under these numbers now: the first of two stays."""

    async def of(self, sweep_id: str, since: int = 0) -> list[Trial]:
        """By number, from `since` on."""

    async def replace(self, trials: Sequence[Trial]) -> list[bool]:
        """Record each over the one of the `seq` before; True where this very record stands now."""

    async def delete_of(self, job_ids: Sequence[str]) -> None:
        """Those of these jobs."""


class Sampler(Protocol):
    """A model of what trials say. Its work is done beside the event loop; the same arguments give the same answer."""

    async def suggest(self, space: Space, past: Sequence[Trial], *, maximize: bool, seed: int) -> Values:
        """What to try next. `past`: all trials before, by number; those without an end are still running."""

    async def importance(self, space: Space, ended: Sequence[Trial]) -> Mapping[str, float] | None:
        """How much of what trials differ in each parameter explains, the largest share first; the shares add up to 1.
        None where nobody here can tell."""
