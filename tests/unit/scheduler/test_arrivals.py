"""What arrives, from how the buckets of cycles differ."""

from __future__ import annotations

import pytest

from app.domain.priority import Priority
from app.scheduler.arrivals import MEMORY, MOST_REMEMBERED, Arrivals
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, seconds, vector


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


def test_a_bucket_in_which_jobs_waited_lately_is_remembered_while_it_is_empty() -> None:
    arrivals, head = Arrivals(), a_head("a", "b", count=2)
    full, drained = a_snapshot([a_node()], [head]), a_snapshot([a_node()], [])

    arrivals.seen(full, [head.bucket_id] * 2)

    assert arrivals.empty(full) == ()
    [remembered] = arrivals.empty(drained)
    assert (remembered.bucket_id, [m.job_id for m in remembered.members]) == (head.bucket_id, ["a"])


def test_only_so_many_buckets_are_remembered_the_latest() -> None:
    arrivals = Arrivals()
    heads = [a_head(f"j{n}", of=vector(1, 1 + n)) for n in range(MOST_REMEMBERED + 10)]
    for n, head in enumerate(heads):
        arrivals.seen(a_snapshot([a_node()], [head], now=seconds(n)), [])

    kept = arrivals.empty(a_snapshot([a_node()], []))
    assert [h.bucket_id for h in kept] == [h.bucket_id for h in heads[10:]]
