"""How often each failure pattern occurred, with the newest run as its example; bounded, and nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from app.domain.ids import run_key
from app.domain.records import RunSummary

OTHER = "(other)"
"""Stands for what is not told apart: a pattern, a template, an algorithm, a tenant. No id can be this."""
MOST_PATTERNS = 50
"""That a rollup tells apart."""


class Seen(NamedTuple):
    """How often a pattern occurred, when last, and in which run then (`{job_id}-{run_no}`)."""

    times: int
    at: datetime
    run: str


Failures = Mapping[str, Seen]
"""By fingerprint."""


def seen_in(run: RunSummary) -> Seen:
    """Once, in a run that failed."""
    return Seen(1, run.finished_at, run_key(run.job_id, run.run_no))


def see(failures: dict[str, Seen], fingerprint: str, seen: Seen) -> None:
    """Add to what is known of a pattern."""
    known = failures.get(fingerprint)
    if known is not None:
        newest = seen if seen.at >= known.at else known
        seen = newest._replace(times=seen.times + known.times)
    failures[fingerprint] = seen


def most_frequent(failures: Failures, most: int = MOST_PATTERNS) -> dict[str, Seen]:
    """So many patterns; the others are one, under `OTHER`."""
    named = sorted(((f, s) for f, s in failures.items() if f != OTHER), key=lambda pair: (-pair[1].times, pair[0]))
    kept = dict(named[:most])
    rest = [seen for _, seen in named[most:]] + ([failures[OTHER]] if OTHER in failures else [])
    for seen in rest:
        see(kept, OTHER, seen)
    return kept
