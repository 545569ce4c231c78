"""When schedules run: the next moment, what was missed, clocks that are set forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.workflows.schedules import LATE, RUN_ONCE, SKIP, Due, Schedule, cron_fault, due, next_moment, zone_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
NIGHTLY, HOURLY = "30 2 * * *", "0 * * * *"


def a_schedule(next_at: datetime | None = NOON, missed: str = SKIP, cron: str = HOURLY, zone: str = "UTC") -> Schedule:
    return Schedule("nightly", "test", cron, zone, missed, "default", NOON, next_at)


def moments(cron: str, zone: str, after: datetime, count: int) -> list[str]:
    """The next moments, as the clocks there show them."""
    found, place = [], zone_of(zone)
    assert place is not None
    for _ in range(count):
        at = next_moment(cron, place, after)
        assert at is not None and at > after
        found.append(f"{at.astimezone(place):%d %H:%M %z}")
        after = at
    return found


def test_nothing_is_due_before_its_moment() -> None:
    assert due(a_schedule(), NOON - SECOND) is None
    assert due(a_schedule(None), NOON) is None
    assert due(a_schedule(zone="Mars/Olympus"), NOON) is None


@pytest.mark.parametrize("missed", [SKIP, RUN_ONCE])
def test_one_that_is_seen_in_time_is_run(missed: str) -> None:
    for late in (timedelta(), LATE):
        assert due(a_schedule(missed=missed), NOON + late) == Due(NOON, NOON + HOUR)


def test_one_that_was_missed_is_left_out_or_run() -> None:
    late = NOON + LATE + SECOND
    assert due(a_schedule(), late) == Due(None, NOON + HOUR)
    assert due(a_schedule(missed=RUN_ONCE), late) == Due(NOON, NOON + HOUR)


def test_of_many_that_were_missed_the_last_is_run_once() -> None:
    late = NOON + 3 * HOUR + LATE + SECOND
    assert due(a_schedule(), late) == Due(None, NOON + 4 * HOUR)
    assert due(a_schedule(missed=RUN_ONCE), late) == Due(NOON + 3 * HOUR, NOON + 4 * HOUR)


def test_one_on_time_is_run_whatever_was_missed_before_it() -> None:
    assert due(a_schedule(), NOON + 3 * HOUR) == Due(NOON + 3 * HOUR, NOON + 4 * HOUR)


def test_one_that_never_comes_again_waits_for_nothing() -> None:
    assert due(a_schedule(cron="0 0 30 2 *"), NOON) == Due(NOON, None)


def test_a_time_that_the_clocks_skip_is_run_when_they_have_jumped() -> None:
    before = datetime(2026, 3, 28, tzinfo=UTC)
    want = ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]
    assert moments(NIGHTLY, "Europe/Berlin", before, 3) == want


def test_a_time_that_the_clocks_repeat_is_run_once() -> None:
    before = datetime(2026, 10, 24, tzinfo=UTC)
    want = ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]
    assert moments(NIGHTLY, "Europe/Berlin", before, 3) == want


def test_what_runs_every_hour_runs_in_both_hours_of_one_name() -> None:
    before = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    want = ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]
    assert moments(HOURLY, "Europe/Berlin", before, 3) == want


def test_the_last_that_was_missed_is_the_first_of_two_of_one_name() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    schedule = a_schedule(first - 24 * HOUR, RUN_ONCE, NIGHTLY, "Europe/Berlin")
    assert due(schedule, first + 3 * HOUR) == Due(first, first + 25 * HOUR)


def test_the_run_of_a_moment_has_one_id_and_a_schedule_made_anew_others() -> None:
    schedule = a_schedule()
    anew = Schedule("nightly", "test", HOURLY, "UTC", SKIP, "default", NOON + HOUR, NOON)
    ids = {schedule.workflow_id(NOON), a_schedule(missed=RUN_ONCE).workflow_id(NOON)}
    assert len(ids) == 1
    assert len(ids | {schedule.workflow_id(NOON + HOUR), anew.workflow_id(NOON)}) == 3


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("30 2 * * 1-5", None),
        ("*/5 0-6,22 1 1,7 sun", None),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("0 " * 200, "five fields"),
        ("61 * * * *", "out of range"),
        ("a * * * *", "no cron expression"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(cron: str, said: str | None) -> None:
    fault = cron_fault(cron)
    assert fault is None if said is None else fault is not None and said in fault
