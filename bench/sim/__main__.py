"""`python -m bench.sim [--quick | --windows | --autoscale | --report | --budget] [--seeds N] [--targets]`: simulate,
print, and write the results to `bench/results/`. Ten seeds unless told otherwise.

`--targets`: only the days that a target is about. `--quick`: two seeds of short days, written nowhere; `--windows`:
what is said of starts alone, likewise. `--report`: no simulation, tables and plots of the stored outcomes; `--budget`:
the same, with the cost of a cycle measured anew; `--autoscale`: only the rows of the autoscaler, which are kept with
the stored outcomes where there are any.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.sim import autoscaled, budget, matrix, report, targets
from bench.sim.autoscaled import Scaled
from bench.sim.plots import draw
from bench.sim.scenarios import Outcome
from bench.sim.targets import Table, announced, rows

RESULTS = Path(__file__).parents[1] / "results"
STORED = RESULTS / "sim.json"
SEEDS = 10


def main() -> int:
    chosen = _arguments()
    if chosen.windows:
        print(report.text(announced(Table(matrix.work_off(matrix.windows())))))
        return 0
    if chosen.autoscale:
        return _autoscale(chosen.seeds)
    found = _stored() if chosen.report or chosen.budget else {}
    if chosen.budget:
        found |= {"budget": budget.plain(budget.measured())}
    if found:
        table, measured = Table(map(Outcome.from_plain, found["outcomes"])), budget.Budget(**found["budget"])
        scaled = [Scaled(**one) for one in found.get("autoscaled", ())]
    else:
        seeds = chosen.seeds if not chosen.quick else 0
        measured = budget.measured(cycles=20) if chosen.quick else budget.measured()
        table = Table(
            matrix.work_off(matrix.quick() if chosen.quick else matrix.full(chosen.seeds, targets_only=chosen.targets))
        )
        scaled = autoscaled.work_off(autoscaled.tasks(seeds))
    print(report.text(rows(table, measured, scaled)))
    if not chosen.quick:
        _write(table, measured, scaled, found["command"] if found else _command(chosen))
    return 0


def _stored() -> dict[str, Any]:
    if not STORED.exists():
        sys.exit(f"nothing is stored in bench/results/{STORED.name} yet; run `python -m bench.sim` first")
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def _autoscale(seeds: int) -> int:
    scaled = autoscaled.work_off(autoscaled.tasks(seeds))
    print(report.text(targets.autoscaled(scaled)))
    if STORED.exists():
        _store(_stored() | {"autoscaled": [one.plain() for one in scaled]})
    return 0


def _write(table: Table, measured: budget.Budget, scaled: list[Scaled], command: str) -> None:
    _store(
        {
            "command": command,
            "budget": budget.plain(measured),
            "autoscaled": [one.plain() for one in scaled],
            "outcomes": [o.plain() for o in table.outcomes],
        }
    )
    (RESULTS / "sim.md").write_text(report.markdown(rows(table, measured, scaled), table, command))
    try:
        draw(table, RESULTS)
    except ModuleNotFoundError as error:
        print(f"no plots: {error}; `python -m bench.sim --report` makes them of what is stored", file=sys.stderr)


def _store(found: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    STORED.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")


def _command(chosen: argparse.Namespace) -> str:
    seeds = "" if chosen.seeds == SEEDS else f" --seeds {chosen.seeds}"
    return "python -m bench.sim" + seeds + (" --targets" if chosen.targets else "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sim", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--targets", action="store_true")
    parser.add_argument("--windows", action="store_true")
    parser.add_argument("--autoscale", action="store_true")
    parser.add_argument("--budget", action="store_true")
    parser.add_argument("--report", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
