"""Dimensions, spaces and trials in few words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.records import MetricPoint
from app.domain.sweeps.drawing import draw
from app.domain.sweeps.space import Condition, Dimension, Space, Values, key
from app.domain.sweeps.sweep import Direction, Strategy, Sweep
from app.domain.sweeps.trials import Outcome, Trial, TrialEnd

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def when(**parents: Any) -> tuple[Condition, ...]:
    """`when(kernel="poly")`; a tuple is any of its values."""
    return tuple(Condition(p, v if isinstance(v, tuple) else (v,)) for p, v in parents.items())


def log(name: str, low: float = 0.001, high: float = 1000, **more: Any) -> Dimension:
    return Dimension(name, "log", low, high, **more)


def whole(name: str, low: int = 1, high: int = 4, **more: Any) -> Dimension:
    return Dimension(name, "int", low, high, **more)


def number(name: str, low: float = 0, high: float = 1, **more: Any) -> Dimension:
    return Dimension(name, "float", low, high, **more)


def choice(name: str, *values: Any, **more: Any) -> Dimension:
    return Dimension(name, "categorical", values=values, **more)


SVM = Space.of(
    [whole("degree", 2, 5, when=when(kernel="poly")), log("C"), choice("kernel", "rbf", "poly"), number("gamma")]
)
"""A conditional space with more room than anybody needs."""
SMALL = Space.of([choice("kernel", "rbf", "poly"), whole("degree", 2, 5, when=when(kernel="poly"))])
"""Five trials."""


def a_sweep(space: Space = SVM, **more: Any) -> Sweep:
    asked: dict[str, Any] = {
        "strategy": "random", "objective": "accuracy", "direction": "maximize", "max_trials": 20, "max_parallel": 4,
    }  # fmt: skip
    asked |= more
    return Sweep(
        space, **{**asked, "strategy": Strategy(asked["strategy"]), "direction": Direction(asked["direction"])}
    )


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_trial(number: int, values: Values | None = None, **more: Any) -> Trial:
    return Trial("batch_1", number, f"job_{number:04}", values or {"x": number}, at(number), **more)


def ended(
    number: int, value: float | None = None, *, outcome: str = "completed", after: float = 0, **more: Any
) -> Trial:
    """A trial that ended `after` seconds, by default in the order of the numbers."""
    fields = {name: more.pop(name) for name in ("fingerprint", "cluster_seconds", "told") if name in more}
    end = TrialEnd(Outcome(outcome), at(after or 100 + number), value, **fields)
    return a_trial(number, end=end, **more)


def drawn(space: Space, count: int, seed: int = 0) -> list[Values]:
    """The first trials of a random search."""
    taken: set[str] = set()
    out = []
    for n in range(count):
        values = draw(space, seed, n, taken)
        assert values is not None
        taken.add(key(values))
        out.append(values)
    return out


def points(values: Iterable[tuple[int | None, float]], *, start: float = 0) -> list[MetricPoint]:
    """Of the objective, a second apart."""
    return [MetricPoint("accuracy", v, n, "train", at(start + i)) for i, (n, v) in enumerate(values)]
