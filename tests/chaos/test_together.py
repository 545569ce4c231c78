"""The short form: the most telling faults at once, on a stack that others share, within seconds; and its controls.

The same scenarios as in the long forms. Labels keep them apart: each has the nodes that it hurts, and one to go on.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial

from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.setting import BRISK, Setting
from tests.chaos.test_index import redis_is_flushed
from tests.chaos.test_processes import (
    a_job_kills_its_workers,
    a_worker_dies_and_comes_back,
    a_worker_dies_for_good,
    a_worker_is_frozen,
)
from tests.chaos.test_service import cancels_race_completions, the_api_dies

PATIENCE = 4.0
SMALL = {"NODE_CPU_CORES": "1"}
NODES = {
    "node-1": {"NODE_LABELS": "dies=yes", **SMALL},
    "node-2": {"NODE_LABELS": "freezes=yes", **SMALL},
    "node-3": {"NODE_LABELS": "dies=yes,freezes=yes,returns=yes"},
}
"""The first two are hurt: jobs go to the smaller node first. The third takes over, hurt itself and back by then."""


def a_rack(*without: str) -> Setting:
    return Setting(nodes=3, pace=BRISK, own=NODES, patience=PATIENCE, without=without)


async def workers_fail_together(lab: Laboratory) -> None:
    """F1/F3: one is killed for good, one stands still and goes on, one is killed and comes back."""
    async with asyncio.TaskGroup() as group:
        group.create_task(a_worker_dies_for_good(lab, node_selector={"dies": "yes"}))
        group.create_task(a_worker_is_frozen(lab, node_selector={"freezes": "yes"}))
        group.create_task(a_worker_dies_and_comes_back(lab, node_selector={"returns": "yes"}))


async def the_service_fails_together(lab: Laboratory, chance: random.Random) -> None:
    """F21/F34: the API is killed among keyed submits and Redis is emptied, while cancels race completions."""
    async with asyncio.TaskGroup() as group:
        group.create_task(the_api_dies(lab, times=2))
        group.create_task(cancels_race_completions(lab, chance=chance, light=60, heavy=6))
        group.create_task(redis_is_flushed(lab, times=3))
    beyond = set(await lab.client.listed()) - lab.client.answered.keys()
    lab.figure("jobs beyond the keys", len(beyond), "jobs", at_most=0)


async def test_workers_fail_together(trial: Trial) -> None:
    assert (await trial(a_rack(), workers_fail_together)).violations == []


async def test_without_the_guard_runs_overlap(trial: Trial) -> None:
    assert "I2" in (await trial(a_rack("guard"), workers_fail_together)).broken


async def test_the_service_fails_together(trial: Trial, chance: random.Random) -> None:
    scenario = partial(the_service_fails_together, chance=chance)
    assert (await trial(Setting(pace=BRISK, patience=PATIENCE), scenario)).violations == []


async def test_f27_a_job_kills_its_workers_among_few(trial: Trial) -> None:
    setting = Setting(nodes=2, patience=PATIENCE)
    assert (await trial(setting, partial(a_job_kills_its_workers, others=20))).violations == []
