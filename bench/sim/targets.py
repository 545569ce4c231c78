"""The targets of the scheduling design, and what was reached of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from bench.sim.autoscaled import Scaled
from bench.sim.budget import Budget
from bench.sim.known import best_mean_wait, mean_wait, shortest_first, three
from bench.sim.matrix import MAIN_LOADS
from bench.sim.scenarios import ANNOUNCING, FRESH, OURS, WAITS, Outcome
from bench.sim.stats import Interval, interval, ratios

Value = Callable[[Outcome], float]


@dataclass(frozen=True, slots=True)
class Row:
    """`reached` is None where nothing was measured; `why` says then why. `met`: whether the target holds."""

    target: str
    bound: str
    reached: str | None
    met: bool | None
    why: str = ""


class Table:
    """Outcomes by what was simulated, to compare seed by seed."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self._by: dict[tuple[str, float, str, str], list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            task = outcome.task
            self._by[task.scenario, task.load, task.policy, task.error].append(outcome)

    def of(self, scenario: str, loads: Sequence[float], policy: str, error: str = "right") -> list[Outcome]:
        """By load and seed."""
        found = [o for load in loads for o in self._by[scenario, load, policy, error]]
        return sorted(found, key=lambda o: (o.task.load, o.task.seed))

    def ratio(
        self, metric: str, against: str, *, scenario: str = "own", loads: Sequence[float] = MAIN_LOADS,
        errors: tuple[str, str] = ("right", "right"),
    ) -> Interval | None:  # fmt: skip
        """Median over seeds and loads of ours over theirs, on the same jobs; None where one of both was not run."""
        ours = self.of(scenario, loads, OURS, errors[0])
        theirs = self.of(scenario, loads, against, errors[1])
        same = {(o.task.load, o.task.seed) for o in ours} & {(o.task.load, o.task.seed) for o in theirs}
        pair = ([o.metrics[metric] for o in side if (o.task.load, o.task.seed) in same] for side in (ours, theirs))
        return interval(ratios(*pair)) if same else None


def rows(table: Table, budget: Budget | None = None, scaled: Sequence[Scaled] = ()) -> list[Row]:
    """The table, in the order of the design."""
    return [
        *_against_others(table),
        _three_jobs(),
        *_sweep(table),
        *_guarantees(table),
        *_wrong_expectations(table),
        _cycle(budget),
        *announced(table),
        *autoscaled(scaled),
        Row("sizing: waste, out of memory", "see sizing", None, None, "by `python -m bench sizing`, in sizing.md"),
    ]


THREES = 200
ORDERS = ("all", *WAITS[:3])
SWEEP_SIZE = "it depends on the size of the sweep: with a third of it, 3 seeds gave 0.083"
NOT_SIMULATED = "not simulated in this run"


def _against_others(table: Table) -> list[Row]:
    return [
        _at_most("mean wait against FIFO", 0.2, table.ratio("mean", "fifo")),
        _at_most("bounded slowdown against EASY with timeouts", 0.8, table.ratio("slowdown", "easy")),
        _at_most("bounded slowdown against best-effort", 0.7, table.ratio("slowdown", "best-effort")),
        _at_most("p99 wait against best-effort", 0.9, table.ratio("p99", "best-effort")),
        _at_most("mean wait of whole-node jobs against best-effort", 0.9, table.ratio("whole_nodes", "best-effort")),
        _at_most("mean wait against EASY-SJF with perfect durations", 1.2, table.ratio("mean", "easy-sjf")),
        _at_least("utilisation against best-effort", 0.98, table.ratio("busiest", "best-effort")),
    ]


def _three_jobs() -> Row:
    traces = [three(seed) for seed in range(THREES)]
    best = sum(best_mean_wait(trace) for trace in traces)
    ours, ordered = (sum(map(mean_wait, some)) / best for some in (traces, map(shortest_first, traces)))
    why = f"inside a class the order is that of submission; submitted shortest first, {ordered:.2f}"
    what = "3 jobs at once: summed wait against the best of all list orders"
    return Row(what, "≤ 1.5", f"{ours:.2f}", ours <= 1.5, why)


def _sweep(table: Table) -> list[Row]:
    strict = table.ratio("urgent", "strict", scenario="sweep", loads=[0.8])
    growing = table.ratio("urgent", "growing", scenario="sweep", loads=[0.8])
    return [
        _at_most("urgent mean wait under an aged sweep against strict", 1.25, strict),
        _at_most("urgent mean wait under an aged sweep against growing priority", 0.02, growing, SWEEP_SIZE),
    ]


def _guarantees(table: Table) -> list[Row]:
    ours = [o for o in table.outcomes if o.task.policy == OURS]
    right = [o for o in ours if o.task.error == "right"]
    overdue, late = (sum(o.metrics[name] for o in right) for name in ("overdue", "late_bounds"))
    made, broken = (sum(o.metrics[name] for o in ours) for name in ("promised", "broken"))
    revoked = sum(o.metrics["revoked"] for o in ours)
    closest = max((o.metrics["closest"] for o in right), default=0.0)
    equal = [o.jain for o in table.of("tenants", [1.2], OURS)]
    of = f"of {overdue:,} overdue jobs; the closest had {closest:.2f} of its bound"
    kept = f"of {made:,} promises, with right and wrong expectations; {revoked:,} were revoked for a higher class"
    return [
        Row("starvation-bound violations", "0", f"{late} {of}", late == 0),
        Row("promise violations", "0", f"{broken} {kept}", broken == 0),
        _at_least("Jain, equal demand", 0.95, interval(equal) if equal else None),
    ]


def announced(table: Table) -> list[Row]:
    """What the start estimates promise, and how good they are."""
    return [
        *_announced(table, ANNOUNCING, "as the service tells them"),
        *_announced(table, FRESH, "from a fresh forecast"),
    ]


def _announced(table: Table, policy: str, how: str) -> list[Row]:
    covered, loss = (f"window coverage at 80 %, {how}", "75–85 %"), (f"pinball ratio, {how}", "≤ 0.6")
    found = table.of("own", MAIN_LOADS, policy)
    if not found:
        return [Row(*covered, None, None, NOT_SIMULATED), Row(*loss, None, None, NOT_SIMULATED)]
    inside = {name: interval([o.inside[name] for o in found if o.inside and name in o.inside]) for name in ORDERS}
    whole = inside.pop("all")
    parts = "by predicted wait: " + ", ".join(f"{name} {one.value:.2f}" for name, one in inside.items())
    ratio = interval([o.pinball for o in found if o.pinball is not None])
    return [
        Row(*covered, str(whole), 0.75 <= whole.value <= 0.85, parts),
        Row(*loss, str(ratio), ratio.value <= 0.6),
    ]


def _wrong_expectations(table: Table) -> list[Row]:
    found = []
    for error in ("÷5", "random"):
        for metric, what, most in (("mean", "mean wait", 1.25), ("whole_nodes", "mean wait of whole-node jobs", 2.5)):
            reached = table.ratio(metric, OURS, errors=(error, "right"))
            found.append(_at_most(f"expectations {error}: {what} against right ones", most, reached))
    return found


def _cycle(budget: Budget | None) -> Row:
    what = "cycle p99 at 2,000 heads × 1,000 nodes, all different"
    if budget is None:
        return Row(what, "≤ 100 ms", None, None, "not measured in this run")
    reached = f"{budget.p99:.0f} ms of CPU (median {budget.median:.0f}) with {budget.heads:,} heads in a full cluster"
    more = f"a cycle that starts {budget.filled} jobs, all different, took up to {budget.filling:.0f} ms"
    return Row(what, "≤ 100 ms", reached, budget.p99 <= 100.0, more)


RHYTHMS = {
    "nights": "two days whose nights bring a tenth of the noons' jobs",
    "day": "a day whose noon brings twice the night's",
}


def autoscaled(scaled: Sequence[Scaled]) -> list[Row]:
    """What the autoscaler reaches."""
    return [*(_against_fixed(name, [s for s in scaled if s.scenario == name]) for name in RHYTHMS), _turns(scaled)]


def _against_fixed(scenario: str, found: Sequence[Scaled]) -> Row:
    what = f"autoscaled, {RHYTHMS[scenario]}: starts inside the class's target / node-hours against a static peak"
    bound = "≥ 95 % / ≤ 0.6"
    if not found:
        return Row(what, bound, None, None, NOT_SIMULATED)
    inside, cost = interval([s.inside for s in found]), interval([s.nodes / s.peak for s in found])
    same, enough = interval([s.nodes / s.same for s in found]), interval([s.nodes / s.enough for s in found])
    urgent = interval([s.by_class["urgent"] for s in found])
    why = (
        f"urgent alone {urgent.value:.1%}; node-hours against the smallest fixed fleet with as many in time {same}, "
        f"with 95 % in time {enough}"
    )
    return Row(what, bound, f"{inside.value:.1%} / {cost}", inside.value >= 0.95 and cost.value <= 0.6, why)


def _turns(scaled: Sequence[Scaled]) -> Row:
    what = "autoscaled, constant load: up and then down within 10 min"
    found = [s for s in scaled if s.scenario == "constant"]
    if not found:
        return Row(what, "0", None, None, NOT_SIMULATED)
    turns, moves, back = sum(s.up_down for s in found), sum(s.moves for s in found), sum(s.down_up for s in found)
    why = f"of {moves} moves; {back} times jobs came by chance just after nodes were given up, which were had back"
    return Row(what, "0", str(turns), turns == 0, why)


def _at_most(target: str, bound: float, reached: Interval | None, why: str = "") -> Row:
    if reached is None:
        return Row(target, f"≤ {bound:g}", None, None, NOT_SIMULATED)
    return Row(target, f"≤ {bound:g}", str(reached), reached.value <= bound, why)


def _at_least(target: str, bound: float, reached: Interval | None) -> Row:
    if reached is None:
        return Row(target, f"≥ {bound:g}", None, None, NOT_SIMULATED)
    return Row(target, f"≥ {bound:g}", str(reached), reached.value >= bound)


def by_policy(table: Table, scenario: str) -> list[tuple[str, float, str, dict[str, float]]]:
    """Load, policy, error, and medians over seeds of what tables show."""
    shown = ("mean", "median", "p99", "most", "slowdown", "whole_nodes", "busiest", "cycle_p99")
    keys = sorted({(o.task.load, o.task.policy, o.task.error) for o in table.outcomes if o.task.scenario == scenario})
    found = []
    for load, policy, error in keys:
        outcomes = table.of(scenario, [load], policy, error)
        medians = {name: _median(map(itemgetter(name), (o.metrics for o in outcomes))) for name in shown}
        found.append((scenario, load, policy if error == "right" else f"{policy}, {error}", medians))
    return found


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
