"""Writes `raw_data.csv` beside itself: made-up customers whose leaving can be learnt, with gaps and a text column."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path

ROWS = 300
SEED = 20240101
COLUMNS = ("age", "income", "tenure_months", "monthly_usage", "support_calls", "plan", "churned")
GAPS = {"age": 0.05, "income": 0.06, "support_calls": 0.03}
_PLANS = {"basic": 1.0, "standard": 0.0, "premium": -1.4}


def customer(chance: random.Random) -> dict[str, object]:
    """One row: leaving follows from support calls, tenure, usage and plan, with some noise."""
    plan = chance.choice(list(_PLANS))
    tenure, calls = chance.randint(1, 72), min(9, int(chance.expovariate(0.5)))
    usage = round(max(0.0, chance.gauss(35, 14)), 1)
    leaning = 1.3 * calls - 0.09 * tenure - 0.06 * usage + 1.5 * _PLANS[plan] + 2.6 + chance.gauss(0, 0.6)
    row: dict[str, object] = {
        "age": chance.randint(18, 79),
        "income": round(math.exp(chance.gauss(10.4, 0.4))),
        "tenure_months": tenure,
        "monthly_usage": usage,
        "support_calls": calls,
        "plan": plan,
        "churned": "yes" if leaning > 0 else "no",
    }
    return {name: "" if chance.random() < GAPS.get(name, 0) else value for name, value in row.items()}


def write(path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - made-up data, the same each time
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(customer(chance) for _ in range(ROWS))


if __name__ == "__main__":
    write(Path(__file__).with_name("raw_data.csv"))
