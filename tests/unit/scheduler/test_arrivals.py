"""What arrives, from how the buckets of cycles differ."""

from __future__ import annotations

import pytest

from app.domain.priority import Priority
from app.scheduler.arrivals import MEMORY, Arrivals
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, seconds


def cycles(*counts: int, placed: int = 0, every: float = 10.0) -> Arrivals:
    """Urgent jobs of a tenth of the cluster (8 cores, 1 of them) and a minute, so many waiting at each cycle."""
    arrivals = Arrivals()
    for n, count in enumerate(counts):
        head = a_head("u", priority=Priority.URGENT, mean=seconds(60), count=count)
        snapshot = a_snapshot([a_node()], [head], now=seconds(n * every))
        arrivals.seen(snapshot, [head.bucket_id] * placed)
    return arrivals


def test_a_steady_stream_is_seen_as_its_share_of_the_cluster() -> None:
    """One job of an eighth of the cluster and a minute in ten seconds takes three quarters of it."""
    steady = cycles(*([1] * 1_000), placed=1)

    assert steady.loss()[Priority.NORMAL] == pytest.approx(0.75, rel=0.05)
    assert steady.loss()[Priority.URGENT] == 0


def test_what_waits_on_has_not_come_again() -> None:
    assert cycles(*([5] * 100)).loss()[Priority.LOW] == 0


def test_what_came_long_ago_is_forgotten() -> None:
    burst = cycles(0, 100, *([0] * (2 * MEMORY // seconds(10))))
    fresh = cycles(0, 100)

    assert 0 < burst.loss()[Priority.LOW] < fresh.loss()[Priority.LOW] / 3
