"""How long a run should take. Where it comes from stands in `app/domain/sizing`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds: `median`, `mean`, and `cautious`, below which nine in ten stay. `source`: `history`, `prior` or
    `timeout`; `group`: in what the runs are alike, `runs` how many they are."""

    median: float
    mean: float
    cautious: float
    source: str
    group: str | None = None
    runs: int = 0
