"""`python -m bench.sizing [--quick] [--report] [--anew]`: simulate groups, make real fits, report.

Results go to `bench/results/`. Each fit is stored as soon as it is made, so that a run that was cut short goes on where
it stood; `--anew` makes all again, `--report` none. `--quick`: fewer of everything, written nowhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.domain.sizing.measures import Outcome
from bench import kit
from bench.sizing import fits, groups, report
from bench.sizing.fits import Fit, Wanted

RESULTS = Path(__file__).parents[1] / "results"
STORED = RESULTS / "sizing.json"
REAL = "real fits, rows × 10"
PARTS: dict[str, Callable[..., list[Wanted]]] = {"fits": fits.drawn, "large": fits.large}
QUICK = {"fits": 1, "large": 3}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    for flag in ("--quick", "--report", "--anew"):
        parser.add_argument(flag, action="store_true")
    chosen = parser.parse_args()
    fresh = chosen.quick or chosen.anew or not STORED.exists()
    stored: dict[str, Any] = {} if fresh else json.loads(STORED.read_text())
    for part in [] if chosen.report else PARTS:
        _make(stored, part, quick=chosen.quick)
    text = _told(stored, groups.QUICK if chosen.quick else groups.COUNT)
    print(text)
    if not chosen.quick:
        (RESULTS / "sizing.md").write_text(text)
    return 0


def _make(stored: dict[str, Any], part: str, *, quick: bool) -> None:
    """What there is not yet of a set of fits."""
    wanted = PARTS[part](count=QUICK[part]) if quick else PARTS[part]()
    done = _fits(stored.get(part, []))
    if len(done) == len(wanted):
        return
    made: list[Fit] = []
    for fit in fits.made(wanted, done):
        made.append(fit)
        stored |= {"machine": kit.machine(), part: fits.plain(made)}
        if not quick:
            RESULTS.mkdir(exist_ok=True)
            STORED.write_text(json.dumps(stored, separators=(",", ":")) + "\n")


def _told(stored: dict[str, Any], count: int) -> str:
    judged, large = (_fits(stored[part]) for part in PARTS)
    tables: dict[str, dict[str, Outcome]] = groups.table(count)
    tables[REAL] = groups.replay(list(fits.by_algorithm(large)))
    return report.markdown(tables, [*judged, *large], stored["machine"])


def _fits(stored: Sequence[dict[str, Any]]) -> list[Fit]:
    return [Fit(**fit) for fit in stored]


if __name__ == "__main__":
    sys.exit(main())
