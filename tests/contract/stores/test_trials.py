"""Trials: one of a number for good, and later records only over the one before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.sweeps.trials import Outcome, Trial, TrialEnd
from tests.contract.stores.conftest import SmallStores
from tests.support.clock import NOON

SWEEP = "batch_a"


def trial(number: int, sweep: str = SWEEP, **more: object) -> Trial:
    values = {"hyperparameters.C": 0.1, "kernel": "rbf", "layers": [64, 64], "depth": None}
    asked = NOON + timedelta(seconds=number)
    return replace(Trial(sweep, number, f"job_{number}", values, asked, untold=(0, 2)), **more)  # type: ignore[arg-type]


END = TrialEnd(Outcome.PRUNED, NOON, 0.91, 27, 12.5, None, ("f1", "loss"))


async def test_trials_come_back_as_they_were_by_number(small: SmallStores) -> None:
    stored = [trial(2, rungs={1: 0.5, 3: 0.25}, stopped_at=3, end=END), trial(0), trial(10), trial(1)]
    assert await small.trials.insert(stored) == stored
    await small.trials.insert([trial(0, "batch_b")])
    found = await small.trials.of(SWEEP)
    assert [t.number for t in found] == [0, 1, 2, 10]
    assert found[2] == stored[0]
    assert list(found[2].values) == list(stored[0].values)
    assert [t.number for t in await small.trials.of(SWEEP, since=2)] == [2, 10]
    assert await small.trials.of("batch_c") == []


async def test_the_first_of_two_of_a_number_stays(small: SmallStores) -> None:
    first, second = trial(0), trial(0, values={"kernel": "poly"})
    assert await small.trials.insert([first]) == [first]
    assert await small.trials.insert([second, trial(1)]) == [first, trial(1)]
    assert await small.trials.insert([first]) == [first]
    assert await small.trials.of(SWEEP) == [first, trial(1)]


async def test_of_many_at_once_all_are_told_the_same(small: SmallStores) -> None:
    rivals = [trial(0, values={"x": n}) for n in range(6)]
    told = await asyncio.gather(*(small.trials.insert([rival]) for rival in rivals))
    assert [t for [t] in told] == [told[0][0]] * 6
    assert await small.trials.of(SWEEP) == told[0]


async def test_a_record_follows_the_one_before(small: SmallStores) -> None:
    await small.trials.insert([trial(0), trial(1)])
    ended, at_rung = trial(0, seq=2, end=END), trial(1, seq=2, rungs={1: 0.5})
    assert await small.trials.replace([ended, at_rung]) == [True, True]
    assert await small.trials.replace([ended]) == [True]
    late = trial(0, seq=2, end=replace(END, value=0.1))
    assert await small.trials.replace([late, replace(at_rung, seq=3, end=END)]) == [False, True]
    assert await small.trials.replace([trial(7, seq=2)]) == [False]
    assert await small.trials.replace([]) == []
    assert await small.trials.of(SWEEP) == [ended, replace(at_rung, seq=3, end=END)]


async def test_trials_go_with_their_jobs(small: SmallStores) -> None:
    await small.trials.insert([trial(0), trial(1), trial(2)])
    await small.trials.delete_of(["job_0", "job_2", "job_9"])
    assert await small.trials.of(SWEEP) == [trial(1)]


async def test_a_document_that_cannot_be_read_hides_no_other(small: SmallStores) -> None:
    if small.mongo is None:
        pytest.skip("in memory there are no documents")
    await small.trials.insert([trial(0), trial(1), trial(2)])
    await small.mongo["trials"].update_one({"_id": f"{SWEEP}-1"}, {"$set": {"values": 7}})
    assert await small.trials.of(SWEEP) == [trial(0), trial(2)]
