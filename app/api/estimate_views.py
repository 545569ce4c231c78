"""How good the start estimates are, as JSON."""

from __future__ import annotations

from app.api.views import View
from app.domain.calibration import SCORED, Tally
from app.domain.priority import RANK, Priority

WAITS = ("< 10 min", "< 1 h", "< 6 h", ">= 6 h")


def start_estimates_view(tally: Tally) -> View:
    """Shares and counts; None where nothing was scored."""
    return {
        "scored": tally.scored,
        **{result: _rounded(tally.share(result)) for result in SCORED},
        "pinball_ratio": _rounded(tally.pinball_ratio),
        "outcomes": _outcomes(tally),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _outcomes(tally: Tally) -> list[View]:
    groups: dict[tuple[str, int], dict[str, int]] = {}
    for (priority, band, result), count in tally.results.items():
        groups.setdefault((priority, band), {})[result] = count
    ordered = sorted(groups.items(), key=lambda group: (RANK[Priority(group[0][0])], group[0][1]))
    return [
        {"class": priority, "predicted_wait": WAITS[band], "results": dict(sorted(results.items()))}
        for (priority, band), results in ordered
    ]
