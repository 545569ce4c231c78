"""`python -m bench.sizing [--quick] [--report]`: simulate groups, make real fits, write the results.

Results go to `bench/results/`. `--quick`: fewer of both, written nowhere. `--report`: no fits are made; those stored
are judged anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from app.domain.sizing.measures import Outcome
from bench import kit
from bench.sizing import fits, groups, report
from bench.sizing.fits import Fit

RESULTS = Path(__file__).parents[1] / "results"
STORED = RESULTS / "sizing.json"
REAL = "real fits, rows × 10"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    stored = json.loads(STORED.read_text()) if chosen.report else _made(quick=chosen.quick)
    if not chosen.quick:
        RESULTS.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(stored, separators=(",", ":")) + "\n")
    judged, large = ([Fit(**fit) for fit in stored[name]] for name in ("fits", "large"))
    tables: dict[str, dict[str, Outcome]] = groups.table(40 if chosen.quick else groups.COUNT)
    tables[REAL] = groups.replay(list(fits.by_algorithm(large)))
    text = report.markdown(tables, [*judged, *large], stored["machine"])
    print(text)
    if not chosen.quick:
        (RESULTS / "sizing.md").write_text(text)
    return 0


def _made(*, quick: bool) -> dict[str, Any]:
    some = {"count": 1} if quick else {}
    print(kit.machine())
    judged, large = fits.made(fits.drawn(**some)), fits.made(fits.large(**({"count": 3} if quick else {})))
    return {"machine": kit.machine(), "fits": fits.plain(judged), "large": fits.plain(large)}


if __name__ == "__main__":
    sys.exit(main())
