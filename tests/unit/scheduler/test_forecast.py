"""Forward passes whose answers can be worked out by hand."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.domain.estimates import Forecast, start_estimate
from app.domain.nodes import Node
from app.domain.priority import Priority
from app.domain.records import BucketHead
from app.scheduler.forecast import MOST_STARTS, NOT_IN_SIGHT, POINTS, forecast, points
from tests.unit.scheduler.builders import a_head, a_node, a_run, a_snapshot, an_allocation, seconds, vector


def foretold(
    nodes: list[Node], heads: list[BucketHead], remaining: dict[str, float], slot_limit: int = 0, **more: Any
) -> Forecast:
    """`remaining`: seconds until each run ends, by job."""
    live = {(job, 1): a_run(job, seconds(left)) for job, left in remaining.items()}
    return forecast(a_snapshot(nodes, heads, slot_limit, live=live), 0.0, **more)


def test_a_full_node_gives_one_start_at_each_end() -> None:
    held = tuple(an_allocation(f"r{n}", vector(4, 4)) for n in range(2))
    head = a_head("a", of=vector(4, 4), count=4, mean=seconds(100))

    made = foretold([a_node(held=held)], [head], {"r0": 10.0, "r1": 50.0})

    assert made.buckets[head.bucket_id] == ((1, 10.0), (2, 50.0), (3, 110.0), (4, 150.0))
    assert made.pace == pytest.approx(140 / 3)


def test_slots_hold_back_although_there_is_room() -> None:
    held = (an_allocation("r0"),)
    head = a_head("a", count=3, mean=seconds(5))

    made = foretold([a_node("n1", held=held), a_node("n2")], [head], {"r0": 20.0}, slot_limit=1)

    assert made.buckets[head.bucket_id] == ((1, 20.0), (2, 25.0), (3, 30.0))


def test_the_higher_class_starts_first() -> None:
    held = (an_allocation("r0", vector(8)),)
    low = a_head("l", of=vector(8), priority=Priority.LOW, mean=seconds(5))
    urgent = a_head("u", of=vector(8), priority=Priority.URGENT, mean=seconds(7))

    made = foretold([a_node(held=held)], [low, urgent], {"r0": 1.0})

    assert (made.buckets[urgent.bucket_id], made.buckets[low.bucket_id]) == (((1, 1.0),), ((1, 8.0),))


def test_a_suspect_starts_when_the_last_run_of_a_node_ends_and_keeps_others_out() -> None:
    held = (an_allocation("r0"), an_allocation("r1"))
    suspect = a_head("s", alone=True, mean=seconds(5))
    plain = a_head("p", of=vector(7), keys=(9.0,), mean=seconds(1))

    made = foretold([a_node(held=held)], [suspect, plain], {"r0": 10.0, "r1": 20.0})

    assert made.buckets[plain.bucket_id] == ((1, 10.0),)
    assert made.buckets[suspect.bucket_id] == ((1, 20.0),)


def test_what_no_node_can_hold_is_not_in_sight() -> None:
    head = a_head("a", of=vector(99))

    made = forecast(a_snapshot([a_node()], [head]), 0.5)

    assert made.buckets[head.bucket_id] == ((1, NOT_IN_SIGHT),)
    assert made.pace == 0.5


def test_an_empty_queue_keeps_the_pace() -> None:
    made = forecast(a_snapshot([a_node()], []), 0.25)

    assert (dict(made.buckets), made.pace) == ({}, 0.25)


def test_points_are_few_ascending_and_hold_both_ends() -> None:
    made = points([float(n) for n in reversed(range(1_000))])

    assert len(made) == POINTS
    assert (made[0], made[-1]) == ((1, 0.0), (1_000, 999.0))
    assert list(made) == sorted(made)


def test_a_hundred_thousand_waiting_are_chained_and_quick() -> None:
    nodes = [a_node(f"n{n:02}", vector(64, 256)) for n in range(100)]
    heads = [a_head(f"h{n}", of=vector(1 + n % 9, 1 + n), count=2_000) for n in range(50)]
    snapshot = a_snapshot(nodes, heads)
    began = time.process_time()

    made = forecast(snapshot, 0.0)

    assert time.process_time() - began < 10
    assert len(made.buckets) > 0
    assert all(len(p) <= POINTS for p in made.buckets.values())
    assert snapshot.waiting > MOST_STARTS


def test_the_estimate_of_a_place_is_read_between_points() -> None:
    head = a_head("a", of=vector(8), count=3, mean=seconds(60))
    held = (an_allocation("r0", vector(8)),)
    made = foretold([a_node(held=held)], [head], {"r0": 30.0})

    estimate = start_estimate(made, head.bucket_id, 2, 2, made.at)

    assert (estimate.start - made.at).total_seconds() == 90
    assert estimate.low <= estimate.start <= estimate.high


def test_jobs_yet_to_come_of_higher_classes_put_off_the_lower() -> None:
    head = a_head("a", of=vector(8), count=2, mean=seconds(60))
    held = (an_allocation("r0", vector(8)),)

    made = foretold([a_node(held=held)], [head], {"r0": 30.0}, loss={Priority.NORMAL: 0.5})

    assert made.buckets[head.bucket_id] == ((1, 60.0), (2, 180.0))


def test_short_jobs_are_foretold_before_long_ones_of_the_same_class() -> None:
    held = (an_allocation("r0", vector(8)),)
    long = a_head("l", of=vector(8), keys=(1.0,), mean=seconds(600), cautious=seconds(600))
    short = a_head("s", of=vector(8), keys=(2.0,), mean=seconds(6), cautious=seconds(6))

    made = foretold([a_node(held=held)], [long, short], {"r0": 1.0})

    assert (made.buckets[short.bucket_id], made.buckets[long.bucket_id]) == (((1, 1.0),), ((1, 7.0),))


def test_a_job_that_comes_to_an_empty_bucket_is_told_what_one_that_came_now_would_be() -> None:
    """It fits beside what runs, or when that has ended and what waits before it has started; it takes nothing."""
    held = (an_allocation("r0", vector(7)),)
    waiting = a_head("w", of=vector(8), keys=(-1.0,), mean=seconds(50))
    small, large = a_head("s"), a_head("l", of=vector(8), mean=seconds(5), tenant="late")
    nodes = [a_node(held=held)]

    alone = foretold(nodes, [waiting], {"r0": 10.0})
    probed = foretold(nodes, [waiting], {"r0": 10.0}, empty=(small, large))

    assert probed.buckets[small.bucket_id] == ((1, 0.0),)
    assert probed.buckets[large.bucket_id] == ((1, 60.0),)
    assert probed.buckets[waiting.bucket_id] == alone.buckets[waiting.bucket_id] == ((1, 10.0),)
    assert probed.pace == alone.pace


def test_with_an_empty_queue_too() -> None:
    made = foretold([a_node()], [], {}, empty=(a_head("s"),))

    assert list(made.buckets.values()) == [((1, 0.0),)]
