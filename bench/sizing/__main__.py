"""`python -m bench.sizing [--quick] [--report] [--parts fits large]`: simulate groups, make real fits, write results.

Results go to `bench/results/`. `--quick`: fewer of both, written nowhere. `--parts`: only those sets of fits are made,
and what is stored of the other stays; `--report`: no fits are made, those stored are judged anew.
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
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    chosen = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() and not chosen.quick else {}
    for part in [] if chosen.report else chosen.parts:
        wanted = PARTS[part](count=QUICK[part]) if chosen.quick else PARTS[part]()
        stored |= {"machine": kit.machine(), part: fits.plain(fits.made(wanted))}
        _keep(stored, quick=chosen.quick)
    text = _told(stored, groups.QUICK if chosen.quick else groups.COUNT)
    print(text)
    if not chosen.quick:
        (RESULTS / "sizing.md").write_text(text)
    return 0


def _keep(stored: dict[str, Any], *, quick: bool) -> None:
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
