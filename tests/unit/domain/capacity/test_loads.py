"""How many slots jobs need: those that wait, and those that keep coming."""

from __future__ import annotations

import pytest

from app.domain.capacity.fleet import Fleet
from app.domain.capacity.loads import Rules, is_late, load_of, loads_to_come, within_slots
from app.domain.capacity.slots import coming, slots, with_headroom
from app.domain.priority import Priority
from tests.unit.domain.capacity.builders import NODE, asks, keeps_coming, wants


@pytest.mark.parametrize(
    ("waiting", "mean", "target", "want"),
    [
        (1, 600.0, 1_800.0, 1),
        (4, 600.0, 1_800.0, 1),
        (5, 600.0, 1_800.0, 2),
        (100, 600.0, 1_800.0, 25),
        (7, 3_600.0, 1_800.0, 7),
        (49, 300.0, 14_400.0, 1),
        (50, 300.0, 14_400.0, 2),
        (3, 0.0, 60.0, 1),
    ],
)
def test_slots_start_the_last_job_within_the_target(waiting: int, mean: float, target: float, want: int) -> None:
    """⌈n / (⌊T/d⌋ + 1)⌉: one slot starts a job at 0, d, 2d, … up to T."""
    assert slots(waiting, mean, target) == want
    if mean:
        last = (-(-waiting // want) - 1) * mean
        assert last <= target


@pytest.mark.parametrize(("count", "want"), [(1, 2), (10, 11), (11, 13), (100, 110)])
def test_a_tenth_more_is_rounded_up_and_no_further(count: int, want: int) -> None:
    assert with_headroom(count) == want


@pytest.mark.parametrize(("rate", "mean", "target", "want"), [(0.1, 600, 60, 6.0), (0.1, 30, 60, 3.0)])
def test_jobs_to_come_take_slots_while_one_runs_or_may_wait(
    rate: float, mean: float, target: float, want: float
) -> None:
    assert coming(rate, mean, target) == pytest.approx(want)


class TestLate:
    @pytest.mark.parametrize(
        ("waited", "starts_in", "want"),
        [
            (0.0, None, True),
            (0.0, 100.0, False),
            (5_000.0, 119.0, False),
            (0.0, 1_680.0, False),
            (0.0, 1_681.0, True),
            (1_500.0, 181.0, True),
            (1_500.0, 180.0, False),
        ],
    )
    def test_is_who_starts_after_the_target_and_after_a_new_node(
        self, waited: float, starts_in: float | None, want: bool
    ) -> None:
        assert is_late(wants(waited=waited, starts_in=starts_in), target=1_800.0, boot=120.0) is want

    def test_an_urgent_job_is_late_when_a_new_node_would_be_sooner(self) -> None:
        """Its target is over before any node comes; then it counts whether one would help."""
        assert is_late(wants(starts_in=121.0), target=60.0, boot=120.0)
        assert not is_late(wants(starts_in=119.0), target=60.0, boot=120.0)


class TestToCome:
    def test_many_rare_requests_take_together_what_they_take(self) -> None:
        """Rounded up one by one, fifty requests of which each comes once an hour would keep fifty slots."""
        streams = [keeps_coming(1 / 3_600, asks(cores=n / 10)) for n in range(10, 60)]
        found = loads_to_come(Fleet(streams=streams), Rules(), NODE)
        assert sum(load.count for load in found) == int(50 * 600 / 3_600)

    def test_they_take_the_places_of_runs_like_them_that_end(self) -> None:
        stream = keeps_coming(1 / 60, asks())
        alone = loads_to_come(Fleet(streams=[stream]), Rules(), NODE)
        ending = loads_to_come(Fleet(streams=[stream], ends={asks()[0]: [30.0] * 7}), Rules(), NODE)
        later = loads_to_come(Fleet(streams=[stream], ends={asks()[0]: [700.0] * 7}), Rules(), NODE)
        assert [load.count for load in alone] == [10]
        assert [load.count for load in ending] == [3]
        assert [load.count for load in later] == [10]

    def test_a_run_makes_room_once(self) -> None:
        streams = [keeps_coming(1 / 60, priority=p) for p in (Priority.HIGH, Priority.NORMAL)]
        found = loads_to_come(Fleet(streams=streams, ends={asks()[0]: [30.0] * 5}), Rules(), NODE)
        assert {load.priority: load.count for load in found} == {Priority.HIGH: 1, Priority.NORMAL: 10}

    def test_there_is_room_for_the_next_of_a_class_that_keeps_coming(self) -> None:
        streams = [keeps_coming(0.001, asks(cores=1)), keeps_coming(0.0001, asks(cores=4))]
        [load] = loads_to_come(Fleet(streams=streams, ends={asks()[0]: [1.0] * 9}), Rules(), NODE)
        assert (load.request, load.count) == (asks(cores=1), 1)


def test_slots_that_may_not_run_at_once_are_those_of_the_least_urgent() -> None:
    loads = [load_of(wants(10, priority=p, mean=9_999.0), 60.0) for p in (Priority.LOW, Priority.URGENT)]
    kept = within_slots(loads, 12)
    assert [(load.priority, load.count) for load in kept] == [(Priority.URGENT, 11), (Priority.LOW, 1)]
    assert within_slots(loads, 0) == []
    assert [load.count for load in within_slots(loads, None)] == [11, 11]
