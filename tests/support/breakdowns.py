"""Breakdowns of runs that are there all at once."""

from __future__ import annotations

from collections.abc import Iterable

from app.domain.analytics.breakdown import Breakdown, Gathering
from app.domain.records import RunSummary


def breakdowns_of(runs: Iterable[RunSummary]) -> dict[str, Breakdown]:
    """Everyone's, and each tenant's."""
    found = Gathering()
    found.add(runs)
    return found.breakdowns()
