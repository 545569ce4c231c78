"""The search that learns: always inside the space, the same for the same record, and better than chance."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import optuna
import pytest

from app import sampling
from app.domain.sweeps.drawing import seed_of
from app.domain.sweeps.space import Dimension, Space, Values, key
from app.domain.sweeps.trials import Trial
from app.sampling import OptunaSampler, _asked, _distribution, _inside
from tests.unit.sweeps.builders import SVM, a_trial, choice, drawn, ended, log, number, whole

EVERY = Space.of(
    [
        log("C"),
        choice("kernel", "rbf", "poly", [1, 2], None),
        number("stepped", 0, 1, step=0.1),
        number("counted", 0, 1, count=5),
        whole("trees", 1, 1000, log=True),
        whole("odd", 1, 9, step=2),
        number("free", -1, 1),
    ]
)
"""A dimension of each kind."""


def record(space: Space, count: int, score: Callable[[Values], float]) -> list[Trial]:
    return [ended(n, score(values), values=values) for n, values in enumerate(drawn(space, count))]


@pytest.mark.parametrize("space", [EVERY, SVM], ids=["every kind", "conditional"])
async def test_what_is_suggested_belongs_to_the_space(space: Space) -> None:
    past = record(space, 30, lambda v: float(v["C"]))
    past[3] = ended(3, outcome="failed", values=past[3].values)
    past[4] = ended(4, 0.5, outcome="pruned", values=past[4].values, rungs={1: 0.4, 3: 0.5})
    past[29] = replace(past[29], end=None)
    for number_ in range(30, 36):
        values = await OptunaSampler().suggest(space, past, maximize=True, seed=seed_of(0, number_))
        assert list(values) == [d.name for d in space.dimensions if d.active(values)]
        for d in space.dimensions:
            if d.name in values and d.points is not None:
                assert any(key(values[d.name]) == key(p) for p in d.points), d.name
            elif d.name in values:
                assert d.low <= values[d.name] <= d.high
        past.append(a_trial(number_, values))


class Fixed:
    """A trial for which the model suggests what it is told to."""

    def __init__(self, number: float) -> None:
        self.number = number

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        return min(high, max(low, self.number))


WIDEST = whole("widest", 0, 1 << 53)


@pytest.mark.parametrize("d", [*EVERY.dimensions, WIDEST], ids=lambda d: d.name)
def test_no_number_has_steps_for_the_model_and_each_point_is_found_again(d: Dimension) -> None:
    """With steps it works out the mass of each cell under each trial, number by number."""
    made = _distribution(optuna, d)
    if d.kind == "categorical":
        assert made == optuna.distributions.CategoricalDistribution(range(len(d.values)))
        return
    assert isinstance(made, optuna.distributions.FloatDistribution)
    assert made.step is None
    points = [d.low, d.high] if d.points is None else [d.points[n] for n in (0, 1, len(d.points) // 2, -1)]
    assert [_asked(Fixed(_inside(d, point)), d) for point in points] == points  # type: ignore[arg-type]
    ends = (made.low, made.high)
    assert [_asked(Fixed(end), d) for end in ends] == [points[0], points[-1]]  # type: ignore[arg-type]


async def test_the_same_record_and_seed_suggest_the_same() -> None:
    past = record(EVERY, 25, lambda v: -abs(v["free"]))
    one, two, other = [await OptunaSampler().suggest(EVERY, past, maximize=True, seed=s) for s in (1, 1, 2)]
    assert one == two != other


async def test_running_trials_are_told_and_turn_the_search_away_from_them() -> None:
    space = Space.of([number("x")])
    past = record(space, 20, lambda v: -abs(v["x"] - 0.3))
    alone = await OptunaSampler().suggest(space, past, maximize=True, seed=5)
    beside = [*past, *(a_trial(20 + n, alone) for n in range(5))]
    assert await OptunaSampler().suggest(space, beside, maximize=True, seed=5) != alone


async def test_it_learns_where_the_good_values_are() -> None:
    space = Space.of([number("x"), number("y")])

    def loss(v: Values) -> float:
        return float((v["x"] - 0.7) ** 2 + (v["y"] - 0.2) ** 2)

    past = record(space, 15, loss)
    for n in range(15, 50):
        values = await OptunaSampler().suggest(space, past, maximize=False, seed=seed_of(0, n))
        past.append(ended(n, loss(values), values=values))
    first, last = [sum(loss(t.values) for t in part) / 15 for part in (past[:15], past[-15:])]
    assert last < first / 3


def test_a_service_without_sweeps_loads_nothing_of_it() -> None:
    code = "import sys, app.main, app.sampling; sys.exit(bool({'optuna', 'sklearn', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_importance_tells_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "PATIENCE", 60.0)
    space = Space.of([number("much"), number("little"), choice("none", 1, 2)])
    past = record(space, 60, lambda v: 10 * v["much"] + v["little"])
    shares = await OptunaSampler().importance(space, past)
    assert shares is not None
    assert list(shares) == ["much", "little", "none"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["much"] > 0.8


async def test_nobody_waits_long_for_the_importance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the newest that is known is told; each is worked out once, and not too many at a time."""
    told, open_ = [], asyncio.Event()

    async def slow(_: Space, ended: Sequence[Trial]) -> dict[str, float]:
        told.append(len(ended))
        await open_.wait()
        return {"x": len(ended)}

    monkeypatch.setattr(sampling, "PATIENCE", 0.01)
    monkeypatch.setattr(sampling, "_explained", slow)
    space, sampler = Space.of([number("x")]), OptunaSampler()
    past = record(space, 40, lambda v: float(v["x"]))
    assert [await sampler.importance(space, past[:20]) for _ in range(2)] == [None, None]
    open_.set()
    assert await sampler.importance(space, past[:20]) == {"x": 20}
    open_.clear()
    assert await sampler.importance(space, past[:30]) == {"x": 20}, "until it is worked out"
    open_.set()
    assert await sampler.importance(space, past[:30]) == {"x": 30}
    assert told == [20, 30]


async def test_few_importances_are_in_the_making_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    never = asyncio.Event()

    async def endless(*_: object) -> None:
        await never.wait()

    monkeypatch.setattr(sampling, "PATIENCE", 0.0)
    monkeypatch.setattr(sampling, "_explained", endless)
    space, sampler = Space.of([number("x")]), OptunaSampler()
    past = record(space, 60, lambda v: float(v["x"]))
    for count in range(20, 60):
        assert await sampler.importance(space, past[:count]) is None
    opened = [task for task in asyncio.all_tasks() if task.get_name() == "importance"]
    assert len(opened) == sampling.MOST_WAITING
    for task in opened:
        task.cancel()


@pytest.mark.parametrize("error", [OSError("no process"), None])
async def test_an_importance_that_fails_is_none(monkeypatch: pytest.MonkeyPatch, error: OSError | None) -> None:
    async def fails(*_: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(sampling, "_explained", fails)
    space = Space.of([number("x")])
    assert await OptunaSampler().importance(space, record(space, 20, lambda v: float(v["x"]))) is None
