"""The soak finds what it looks for, and its plan replays."""

from __future__ import annotations

from functools import partial

import pytest

from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.soak import soak, stack
from tests.chaos.soak_faults import KINDS, plan_of

SEED = 7


async def all_faults_mixed(lab: Laboratory, minutes: float) -> None:
    """F37: one after the other under load, in the order that a seed gives."""
    await soak(lab, minutes, SEED)


def test_the_same_seed_gives_the_same_plan_and_another_a_different_one() -> None:
    assert plan_of(SEED, 60) == plan_of(SEED, 60) != plan_of(SEED + 1, 60)


def test_step_downs_come_only_where_there_is_another_member() -> None:
    names = {planned.name for planned in plan_of(SEED, 1_000)}
    assert "primary steps down" not in names
    assert names | {"primary steps down", "member killed"} == set(KINDS)
    assert "primary steps down" in {planned.name for planned in plan_of(SEED, 1_000, members=3)}


@pytest.mark.slow
@pytest.mark.chaos
async def test_f37_without_the_guard_a_soak_finds_overlaps(trial: Trial) -> None:
    outcome = await trial(stack(without=["guard"]), partial(all_faults_mixed, minutes=1), rest=120)
    assert "I2" in outcome.broken
