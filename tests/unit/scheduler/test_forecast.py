"""Forward passes whose answers can be worked out by hand."""

from __future__ import annotations

import time

import pytest

from app.domain.estimates import start_estimate
from app.domain.priority import Priority
from app.scheduler.forecast import MOST_STARTS, NOT_IN_SIGHT, POINTS, Expected, forecast, points
from tests.unit.scheduler.builders import NOW, a_head, a_node, a_snapshot, an_allocation, vector


def test_a_full_node_gives_one_start_at_each_end() -> None:
    held = tuple(an_allocation(f"r{n}", vector(4, 4)) for n in range(2))
    head = a_head("a", of=vector(4, 4), count=4)
    expected = Expected({head.bucket_id: 100.0}, {("r0", 1): 10.0, ("r1", 1): 50.0})

    made = forecast(a_snapshot([a_node(held=held)], [head]), expected, NOW, 0.0)

    assert made.buckets[head.bucket_id] == ((1, 10.0), (2, 50.0), (3, 110.0), (4, 150.0))
    assert made.pace == pytest.approx(140 / 3)


def test_slots_hold_back_although_there_is_room() -> None:
    held = (an_allocation("r0"),)
    head = a_head("a", count=3)
    expected = Expected({head.bucket_id: 5.0}, {("r0", 1): 20.0})

    made = forecast(a_snapshot([a_node("n1", held=held), a_node("n2")], [head], slot_limit=1), expected, NOW, 0.0)

    assert made.buckets[head.bucket_id] == ((1, 20.0), (2, 25.0), (3, 30.0))


def test_the_higher_class_starts_first() -> None:
    held = (an_allocation("r0", vector(8)),)
    low, urgent = a_head("l", of=vector(8), priority=Priority.LOW), a_head("u", of=vector(8), priority=Priority.URGENT)
    expected = Expected({low.bucket_id: 5.0, urgent.bucket_id: 7.0}, {("r0", 1): 1.0})

    made = forecast(a_snapshot([a_node(held=held)], [low, urgent]), expected, NOW, 0.0)

    assert (made.buckets[urgent.bucket_id], made.buckets[low.bucket_id]) == (((1, 1.0),), ((1, 8.0),))


def test_a_suspect_starts_when_the_last_run_of_a_node_ends_and_keeps_others_out() -> None:
    held = (an_allocation("r0"), an_allocation("r1"))
    suspect, plain = a_head("s", alone=True), a_head("p", of=vector(7), keys=(9.0,))
    expected = Expected({suspect.bucket_id: 5.0, plain.bucket_id: 1.0}, {("r0", 1): 10.0, ("r1", 1): 20.0})

    made = forecast(a_snapshot([a_node(held=held)], [suspect, plain]), expected, NOW, 0.0)

    assert made.buckets[plain.bucket_id] == ((1, 10.0),)
    assert made.buckets[suspect.bucket_id] == ((1, 20.0),)


def test_what_no_node_can_hold_is_not_in_sight() -> None:
    head = a_head("a", of=vector(99))

    made = forecast(a_snapshot([a_node()], [head]), Expected({}, {}), NOW, 0.5)

    assert made.buckets[head.bucket_id] == ((1, NOT_IN_SIGHT),)
    assert made.pace == 0.5


def test_an_empty_queue_keeps_the_pace() -> None:
    made = forecast(a_snapshot([a_node()], []), Expected({}, {}), NOW, 0.25)

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

    made = forecast(snapshot, Expected({h.bucket_id: 60.0 for h in heads}, {}), NOW, 0.0)

    assert time.process_time() - began < 3
    assert len(made.buckets) > 0
    assert all(len(p) <= POINTS for p in made.buckets.values())
    assert snapshot.waiting > MOST_STARTS


def test_the_estimate_of_a_place_is_read_between_points() -> None:
    head = a_head("a", of=vector(8), count=3)
    held = (an_allocation("r0", vector(8)),)
    expected = Expected({head.bucket_id: 60.0}, {("r0", 1): 30.0})
    made = forecast(a_snapshot([a_node(held=held)], [head]), expected, NOW, 0.0)

    estimate = start_estimate(made, head.bucket_id, 2, 2, NOW)

    assert (estimate.start - NOW).total_seconds() == 90
    assert estimate.low <= estimate.start <= estimate.high
