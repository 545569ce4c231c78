"""What a finished run is told to ask for the next time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.job import Attempt
from app.domain.resources import Vector
from app.domain.sizing.advice import advice, cores_used
from tests.unit.domain.sizing.builders import NOW

RUN = Attempt(1, 1, "n1", NOW, NOW + timedelta(seconds=100), "completed", 400.0, 90.0, Vector(4_000, 4_096, 0, 10))


def test_used_beside_asked_and_what_would_have_done() -> None:
    found = advice(RUN)
    assert found is not None
    assert found.resources == Vector(1_000, 640, 0, 10)
    assert found.summary == "used 0.39 of 4 GB and 0.9 of 4 cores"


@pytest.mark.parametrize(
    ("changes", "memory", "cores"),
    [
        ({"cpu_seconds": 390.0}, 640, 4_000),
        ({"cpu_seconds": None}, 640, 4_000),
        ({"peak_memory_mib": 3_000.0}, 4_096, 1_000),
        ({"finished_at": NOW + timedelta(seconds=9)}, 640, 4_000),
        ({"peak_memory_mib": 5.0}, 256, 1_000),
        ({"cpu_seconds": 290.0}, 640, 3_000),
        ({"peak_memory_mib": 2_300.0}, 3_072, 1_000),
    ],
)
def test_only_what_is_worth_it_is_said(changes: dict[str, object], memory: int, cores: int) -> None:
    found = advice(replace(RUN, **changes))  # type: ignore[arg-type]
    assert found is not None
    assert found.resources == Vector(cores, memory, 0, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"peak_memory_mib": 3_000.0, "cpu_seconds": 390.0},
        {"peak_memory_mib": None},
        {"asked": None},
        {"outcome": "error"},
        {"outcome": "timeout"},
        {"asked": Vector(500, 400, 0, 0)},
    ],
)
def test_where_nothing_is_worth_it_or_known_nothing_is_said(changes: dict[str, object]) -> None:
    assert advice(replace(RUN, **changes)) is None  # type: ignore[arg-type]


def test_a_killed_run_is_told_to_ask_for_as_much_as_a_retry_gets() -> None:
    killed = replace(RUN, outcome="out_of_memory", peak_memory_mib=4_100.0)
    found = advice(killed)
    assert found is not None
    assert found.resources == Vector(4_000, 6_144, 0, 10)
    assert found.summary == "needed more than the 4 GB that it had"


def test_cores_used_are_told_where_they_were_measured() -> None:
    assert cores_used(RUN) == pytest.approx(0.9)
    assert cores_used(replace(RUN, started_at=None)) is None
    assert cores_used(replace(RUN, finished_at=NOW)) is None
