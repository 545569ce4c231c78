"""Run summaries: once a run, and what those of a group have used."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.analytics.needs import Need
from app.domain.failures import FailurePattern
from app.domain.priority import Priority
from app.domain.records import RunSummary
from app.domain.resources import Vector
from app.domain.sizing.features import TableFacts, features_of
from app.domain.sizing.kinship import Group, Kinship
from app.domain.sizing.measures import Measured
from app.domain.sizing.residuals import PastRun
from app.domain.states import JobStatus
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

RUN = RunSummary(
    job_id="job_a",
    run_no=1,
    attempt=1,
    tenant="default",
    template="noop",
    template_version=1,
    algorithm=None,
    dataset="iris",
    priority=Priority.HIGH,
    node_id="n1",
    asked=Vector(1000, 512, 1, 2),
    peak_memory_mib=12.5,
    cpu_seconds=None,
    wait_seconds=0.25,
    run_seconds=1.5,
    outcome="completed",
    fingerprint=None,
    finished_at=NOON,
)


def later(n: int, **changes: object) -> RunSummary:
    run = replace(RUN, job_id=f"job_{n}", run_seconds=float(n), finished_at=NOON + timedelta(seconds=n))
    return replace(run, **changes)  # type: ignore[arg-type]


async def test_completed_runs_are_counted_by_node(small: SmallStores) -> None:
    assert await small.runs.completed_by_node() == {}
    runs = [later(1), later(2, node_id="n2"), later(3), later(4, outcome="error"), later(5, node_id=None)]
    await asyncio.gather(*(small.runs.insert(run) for run in runs))
    assert await small.runs.completed_by_node() == {"n1": 2, "n2": 1}


KIN = Kinship("default", "noop", None, "iris")
ALGORITHM = Kinship("default", "train", "svm", "iris")


async def seconds(small: SmallStores, group: Group, **more: Any) -> list[float]:
    return [run.seconds for run in await small.runs.alike(group, **more)]


async def test_runs_alike_are_the_newest_telling_ones_of_the_group(small: SmallStores) -> None:
    runs = [later(n) for n in (3, 1, 4, 2)]
    runs += [later(7, outcome="error"), later(8, outcome="cancelled"), later(9, template="sleep")]
    runs += [later(5, outcome="out_of_memory"), later(6, outcome="timeout")]
    await asyncio.gather(*(small.runs.insert(run) for run in runs))
    [finest, *_] = KIN.groups()
    assert await seconds(small, finest) == [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert await seconds(small, finest, limit=2) == [6.0, 5.0]
    assert await seconds(small, Kinship("default", "command", None, None).groups()[0]) == []


async def test_groups_grow_from_fine_to_coarse(small: SmallStores) -> None:
    own = {"template": "train", "algorithm": "svm"}
    runs = [
        later(1, **own),
        later(2, **own, dataset="wine"),
        later(3, **own, tenant="other"),
        later(4, algorithm="svm"),
    ]
    await asyncio.gather(*(small.runs.insert(run) for run in [*runs, later(5, template="train", algorithm="knn")]))
    assert [await seconds(small, group) for group in ALGORITHM.groups()] == [[1], [2, 1], [3, 2, 1], [4, 3, 2, 1]]


async def test_what_a_past_run_used_is_read_without_a_name_but_that_of_a_tenants_own_data(small: SmallStores) -> None:
    features = features_of({"algorithm": "svm", "cv_folds": 5}, TableFacts(100, 4))
    await small.runs.insert(replace(RUN, features=features, cpu_seconds=1.25, sized="history"))
    seen = PastRun("completed", NOON, 1.5, Vector(1000, 512, 1, 2), 12.5, 1.25, features, "iris")
    for group, want in zip(KIN.groups(), (seen, seen, replace(seen, dataset=None)), strict=True):
        assert await small.runs.alike(group) == [want]


async def test_a_summary_from_before_there_were_features_is_read(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.runs.insert(RUN)
    await small.mongo["runs"].update_one({"_id": "job_a-1"}, {"$unset": {"features": 1, "sized": 1}})
    [found] = await small.runs.alike(KIN.groups()[0])
    assert (found.features, found.peak_mib) == (None, 12.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("finished_at", 5),
        ("run_seconds", "long"),
        ("run_seconds", float("inf")),
        ("asked", {}),
        ("asked.memory_mib", -1),
        ("peak_memory_mib", float("nan")),
        ("features", {"rows": 5}),
        ("features", {"algorithm": "svm", "rows": "many", "columns": 4}),
    ],
)
async def test_a_run_that_cannot_be_counted_says_nothing(small: SmallStores, field: str, value: Any) -> None:
    if small.mongo is None:
        return
    await small.runs.insert(later(1))
    await small.runs.insert(later(2))
    await small.mongo["runs"].update_one({"_id": "job_2-1"}, {"$set": {field: value}})
    assert await seconds(small, KIN.groups()[0]) == [1.0]


async def test_a_run_is_summarised_once(small: SmallStores) -> None:
    await asyncio.gather(*(small.runs.insert(RUN) for _ in range(5)))
    await small.runs.insert(replace(RUN, run_seconds=99.0))
    await small.runs.insert(replace(RUN, run_no=2, run_seconds=2.5, finished_at=NOON + timedelta(seconds=1)))
    assert await seconds(small, KIN.groups()[0]) == [2.5, 1.5]


async def test_a_summary_is_stored_whole(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.runs.insert(RUN)
    stored = await small.mongo["runs"].find_one({"_id": "job_a-1"})
    assert stored is not None
    assert stored["asked"] == {"cpu_millicores": 1000, "memory_mib": 512, "gpu": 1, "storage_gib": 2}
    assert stored["priority"] == "high"
    assert stored["finished_at"] == NOON
    assert set(stored) == {"_id", *RunSummary.__dataclass_fields__}


async def test_a_summary_is_read_as_it_was_stored(small: SmallStores) -> None:
    whole = replace(
        RUN,
        outcome="error",
        fingerprint="f" * 16,
        ended_as=JobStatus.FAILED,
        age_seconds=3.5,
        failure=FailurePattern("KeyError", "train", "no column #", "fit.py:fit"),
        steps=(("prepare", 1.5), ("train", 2.0)),
    )
    await small.runs.insert(whole)
    await small.runs.insert(replace(RUN, job_id="job_b"))
    assert await small.runs.get_many(["job_a-1", "job_b-1", "job_c-1"]) == {
        "job_a-1": whole,
        "job_b-1": replace(RUN, job_id="job_b"),
    }


async def ended(small: SmallStores, begin: int, end: int, **options: int) -> list[list[str]]:
    """Ids by batch, of those that ended so many seconds after noon."""
    moments = NOON + timedelta(seconds=begin), NOON + timedelta(seconds=end)
    return [[run.job_id for run in runs] async for runs in small.runs.ended(*moments, **options)]


async def test_runs_by_when_they_ended(small: SmallStores) -> None:
    assert await small.runs.first_end() is None
    runs = [later(n) for n in (59, 1, 60, 61, 180)]
    await asyncio.gather(*(small.runs.insert(run) for run in runs))
    assert await small.runs.first_end() == NOON + timedelta(seconds=1)
    minute = timedelta(minutes=1)
    assert await small.runs.ends_by_minute(NOON, NOON + 3 * minute) == {NOON: 2, NOON + minute: 2}
    assert await ended(small, 1, 61) == [["job_1", "job_59", "job_60"]]
    assert await ended(small, 0, 600, batch=2) == [["job_1", "job_59"], ["job_60", "job_61"], ["job_180"]]
    assert await ended(small, 200, 600) == []


async def test_what_the_newest_runs_needed(small: SmallStores) -> None:
    runs = [
        later(1, peak_memory_mib=100.0),
        later(2, outcome="out_of_memory", peak_memory_mib=600.0, tenant="vision"),
        later(3, outcome="error", peak_memory_mib=300.0),
        later(4, peak_memory_mib=None),
        later(5, asked=Vector(1000, 0, 0, 0)),
        later(6, peak_memory_mib=200.0, dataset=None, sized="history"),
    ]
    await asyncio.gather(*(small.runs.insert(run) for run in runs))
    kin = ("default", "noop", None, "iris")
    last = Need(("default", "noop", None, None), Measured(512.0, 200.0), "history")
    killed = Need(("vision", "noop", None, "iris"), Measured(512.0, 600.0, killed=True))
    assert await small.runs.needs(NOON, None, 10) == [Need(kin, Measured(512.0, 100.0)), killed, last]
    assert await small.runs.needs(NOON, None, 2) == [killed, last]
    assert await small.runs.needs(NOON + timedelta(seconds=3), None, 10) == [last]
    assert await small.runs.needs(NOON, "vision", 10) == [killed]


async def test_a_summary_of_an_earlier_version_is_read(small: SmallStores) -> None:
    if small.mongo is None:
        return
    await small.runs.insert(RUN)
    later_fields = dict.fromkeys(("ended_as", "age_seconds", "failure", "steps"), "")
    await small.mongo["runs"].update_one({}, {"$unset": later_fields})
    assert await small.runs.get_many(["job_a-1"]) == {"job_a-1": RUN}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("asked", None), ("asked", {"cpu_millicores": "a"}), ("run_seconds", "long"), ("wait_seconds", float("nan")),
        ("cpu_seconds", float("inf")), ("steps", [["train", "long"]]), ("tenant", 5), ("ended_as", "DONE"),
        ("priority", "any"), ("fingerprint", 7), ("attempt", None),
    ],
)  # fmt: skip
async def test_one_that_cannot_be_added_up_is_left_out(small: SmallStores, field: str, value: Any) -> None:
    if small.mongo is None:
        return
    await asyncio.gather(*(small.runs.insert(later(n)) for n in range(3)))
    await small.mongo["runs"].update_one({"_id": "job_1-1"}, {"$set": {field: value}})
    assert await ended(small, 0, 60) == [["job_0", "job_2"]]
    assert await small.runs.ends_by_minute(NOON, NOON + timedelta(minutes=1)) == {NOON: 3}
