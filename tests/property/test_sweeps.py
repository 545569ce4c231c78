"""Sweeps: trials are always different, always inside their space, and the same for the same seed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.sweeps.asha import EarlyStopping, goes_on
from app.domain.sweeps.checks import space_errors
from app.domain.sweeps.drawing import draw, grid
from app.domain.sweeps.judging import judge
from app.domain.sweeps.space import Condition, Dimension, Space, Values, key
from app.domain.sweeps.trials import Trial
from tests.unit.sweeps.builders import START, a_trial, points


@st.composite
def dimensions(draw_: Any, n: int, parents: list[Dimension]) -> Dimension:
    """The n-th of a space, perhaps with conditions on those before it."""
    name = f"p{n}"
    when: list[Condition] = []
    for parent in draw_(st.lists(st.sampled_from(parents), max_size=2, unique_by=lambda d: d.name)) if parents else []:
        values = draw_(st.lists(st.sampled_from(list(parent.points or ())), min_size=1, max_size=3))
        when.append(Condition(parent.name, tuple(values)))
    low, width = draw_(st.integers(-5, 5)), draw_(st.integers(1, 6))
    kind = draw_(st.sampled_from(["int", "float", "stepped", "log", "categorical"]))
    common: dict[str, Any] = {"when": tuple(when)}
    if kind == "categorical":
        values = draw_(st.lists(st.sampled_from([1, 1.0, True, None, "a", [1, 2]]), min_size=1, unique_by=key))
        return Dimension(name, kind, values=tuple(values), **common)
    if kind == "stepped":
        return Dimension(name, "float", low, low + width, step=draw_(st.sampled_from([0.1, 0.25, 1.0])), **common)
    if kind == "log":
        return Dimension(name, kind, 10.0**low, 10.0 ** (low + width), **common)
    return Dimension(name, kind, low, low + width, **common)


@st.composite
def spaces(draw_: Any) -> Space:
    declared: list[Dimension] = []
    for n in range(draw_(st.integers(1, 5))):
        deciding = [d for d in declared if d.kind in ("int", "categorical")]
        declared.append(draw_(dimensions(n, deciding)))
    shuffled = draw_(st.permutations(declared))
    if space_errors(shuffled):
        return Space.of(d for d in declared if not d.when)
    return Space.of(shuffled)


def belongs(space: Space, values: Values) -> bool:
    """Whether the active dimensions are there, in order, each with a value that it can have."""
    active = [d for d in space.dimensions if d.active(values)]
    inside = all(
        any(key(values[d.name]) == key(p) for p in d.points)
        if d.points is not None
        else d.low <= values[d.name] <= d.high
        for d in active
    )
    return list(values) == [d.name for d in active] and inside


def search(space: Space, seed: int, most: int) -> list[Values]:
    """All trials of a random search, until there is no other."""
    found: list[Values] = []
    taken: set[str] = set()
    while len(found) < most and (values := draw(space, seed, len(found), taken)) is not None:
        found.append(values)
        taken.add(key(values))
    return found


@settings(deadline=None)
@given(spaces(), st.integers(0, 10**9))
def test_random_trials_belong_to_the_space_differ_and_use_it_up(space: Space, seed: int) -> None:
    found = search(space, seed, 40)
    assert all(belongs(space, values) for values in found)
    assert len({key(v) for v in found}) == len(found) == min(40, space.size(40))
    assert search(space, seed, 40) == found


@settings(deadline=None)
@given(spaces())
def test_a_grid_is_the_whole_space_once(space: Space) -> None:
    finite = Space.of(d for d in space.dimensions if not d.continuous and not d.when)
    if not finite.dimensions:
        return
    trials = grid(finite, 2_000)
    assert len({key(v) for v in trials}) == len(trials) == min(2_000, finite.size(2_000))
    assert all(belongs(finite, values) for values in trials)


@settings(deadline=None)
@given(spaces(), st.integers(1, 300))
def test_the_size_is_the_number_of_assignments(space: Space, most: int) -> None:
    if any(d.continuous for d in space.dimensions):
        return
    counted = 0
    for _ in space.assignments(lambda d: d.points or ()):
        counted += 1
        if counted > most:
            break
    assert space.size(most) == counted


told = st.lists(st.tuples(st.integers(1, 30), st.floats(0, 1)), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(told, min_size=1, max_size=8), st.integers(2, 4), st.integers(1, 4), st.booleans(), st.data())
def test_early_stopping_is_the_same_however_often_it_looks(
    series: list[Any], eta: int, first: int, maximize: bool, data: st.DataObject
) -> None:
    """Looked at once, or at many moments with what had come by then: the same verdicts, when looks lose no order."""
    stopping = EarlyStopping(eta, first)
    all_points = {n: points(sorted(values), start=n / 10) for n, values in enumerate(series)}
    trials = [a_trial(n) for n in all_points]
    at_once = run(stopping, trials, all_points, maximize, [START + timedelta(hours=1)])
    moments = sorted(p.at for each in all_points.values() for p in each)
    some = data.draw(st.lists(st.sampled_from(moments), max_size=5))
    step_by_step = run(stopping, trials, all_points, maximize, [*sorted(some), START + timedelta(hours=1)])
    assert at_once == step_by_step


def run(stopping: EarlyStopping, trials: list[Trial], series: Any, maximize: bool, moments: list[Any]) -> list[Trial]:
    now = {t.number: t for t in trials}
    for moment in moments:
        seen = {n: [p for p in each if p.at <= moment] for n, each in series.items()}
        for judged in judge(stopping, list(now.values()), seen, maximize=maximize):
            now[judged.number] = judged
    return list(now.values())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(2, 5), st.booleans())
def test_the_best_of_a_rung_always_goes_on_and_the_worst_of_many_never(
    values: list[float], eta: int, maximize: bool
) -> None:
    best = max(values) if maximize else min(values)
    assert goes_on(best, values, eta, maximize=maximize)
    worst = min(values) - 1 if maximize else max(values) + 1
    assert goes_on(worst, values, eta, maximize=maximize) is (len(values) + 1 < eta)
