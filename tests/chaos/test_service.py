"""Faults of the API, the scheduler and what is stored: F21, F22, F25, F28, F34, each with its negative control."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError
from redis.asyncio import Redis

from tests.chaos.bodies import NOOP, brief, witnessed
from tests.chaos.conftest import Trial
from tests.chaos.fuzz import documents, messages
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import BRISK, Setting
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
POINTS = ("reserved", "placed", "dispatched")
COLLECTIONS = ("jobs", "nodes", "leases", "logs", "templates")


async def the_api_dies_before_it_answers(lab: Laboratory, keys: int) -> None:
    """F21: again and again, with many answers on their way; the client sends each key until it is answered."""
    [api] = lab.apis
    submits = asyncio.ensure_future(lab.client.submit_all([NOOP] * keys))
    deaths = 0
    while not submits.done():
        await until(lambda: submits.done() or not api.alive, 120)
        if submits.done():
            break
        deaths += 1
        await api.start(without=lab.setting.without, faults=lab.setting.faults["api-1"])
    await submits
    lab.figure("slowest answer under the deaths", max(lab.client.slowness), at_most=30)
    await api.kill()
    await lab.restart(api)
    lab.figure("deaths of the API", deaths, "times")
    lab.figure("jobs beyond the keys", len(await lab.client.listed()) - keys, "jobs", at_most=0)


async def the_api_dies(lab: Laboratory, times: int) -> None:
    """F21: again and again, with keyed submits on their way; each key is sent until it is answered."""
    [api] = lab.apis
    for _ in range(times):
        submits = asyncio.ensure_future(lab.client.submit_all([NOOP] * 20))
        await elapse(0.1)
        await api.kill()
        await lab.restart(api)
        await submits
    lab.figure("slowest answer under the deaths", max(lab.client.slowness), at_most=20)


class Aim:
    """When to shoot at something that moves: later after each shot that was too early, earlier after one too late."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def learn(self, *, too_early: bool) -> None:
        self.seconds *= 1.03 if too_early else 0.97


def mortal_api(answers: int, *without: str) -> Setting:
    return Setting(pace=BRISK, faults={"api-1": [f"dies_before_answer:{answers}"]}, without=without)


async def the_scheduler_dies_in_a_commit(lab: Laboratory) -> None:
    """F22: at the point that the setting names; then the API starts again whole."""
    [api] = lab.apis
    async with asyncio.TaskGroup() as group:
        group.create_task(lab.client.submit_all([brief() for _ in range(8)]))
        await until(lambda: not api.alive, 30)
        died = boot_time()
        await lab.restart(api)
    await lab.client.all_ended(40)
    lab.figure("all ended after the scheduler's death", boot_time() - died, at_most=30)


def mortal_scheduler(point: str, *without: str) -> Setting:
    return Setting(pace=BRISK, faults={"api-1": [f"die_at:{point}"]}, without=without)


async def rubbish_is_stored(
    lab: Laboratory, chance: random.Random, count: int, collections: Sequence[str] = COLLECTIONS
) -> None:
    """F28: documents and queue messages of any shape; the loops live, and good jobs go their way among them."""
    good = await lab.client.submit(NOOP)
    await lab.client.when(good, "COMPLETED")
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        database = mongo[lab.database]
        originals = {name: await database[name].find_one({}, {"keyed": 0}) or {} for name in collections}
        for name in collections:
            rubbish = documents(chance, originals[name], count // len(collections))
            with suppress(BulkWriteError):  # what no index takes is no document
                await database[name].insert_many(rubbish, ordered=False)
    async with Redis.from_url(lab.redis.running.url) as redis:
        for message in messages(chance, count // 10):
            await redis.set(f"arq:job:rubbish-{chance.random()}", message)
            await redis.zadd(f"tf:{lab.database}:arq:node-1", {f"rubbish-{chance.random()}": 1})
            await redis.publish(f"tf:{lab.database}:bell:node-1", message)
    asked = boot_time()
    for _ in range(5):
        await lab.client.when(await lab.client.submit(witnessed(lab.marks_file, 0.2)), "COMPLETED", 40)
        await elapse(1)
    lab.figure("five good jobs among the rubbish", boot_time() - asked)
    lab.figure("parts that died of it", sum(not part.alive for part in (*lab.apis, *lab.nodes)), "parts", at_most=0)
    await _clear_rubbish(lab)


async def _clear_rubbish(lab: Laboratory) -> None:
    async with AsyncMongoClient[dict[str, Any]](lab.direct_uri()) as mongo:
        for name in COLLECTIONS:
            await mongo[lab.database][name].delete_many({"rubbish": True})


async def cancels_race_completions(lab: Laboratory, chance: random.Random, light: int, heavy: int) -> None:
    """F34: each cancel comes at about the moment when its job is done, which is learned as it goes."""
    bodies = [brief(0.1)] * light + [witnessed(lab.marks_file, 0.3, "detached") for _ in range(heavy)]
    await lab.client.when(await lab.client.submit(witnessed(lab.marks_file, 0.1)), "COMPLETED")
    gate = asyncio.Semaphore(16)
    aim = Aim(0.3)

    async def race(body: dict[str, Any]) -> str:
        async with gate:
            job_id = await lab.client.submit(body)
            if body["template"] == "command":
                await lab.began(job_id)
            await elapse(aim.seconds * chance.uniform(0.7, 1.3))
            answer = await lab.client.control(job_id, "cancel")
            assert answer.status_code in (200, 409), answer.text
            aim.learn(too_early=answer.status_code == 200)
            return job_id

    ids = await asyncio.gather(*(race(body) for body in bodies))
    await lab.client.all_ended(120)
    ends = [(await lab.client.job(job_id))["status"] for job_id in ids]
    assert set(ends) <= {"COMPLETED", "CANCELLED"}, set(ends)
    lab.figure("cancels that won", ends.count("CANCELLED"), "jobs")
    lab.figure("completions that won", ends.count("COMPLETED"), "jobs")


async def clocks_are_wrong(lab: Laboratory) -> None:
    """F25: by a minute, in both directions; nothing is taken from a node that renews."""
    places = [{"clock": "behind"}, {"clock": "ahead"}] * 2
    seconds = 2 * lab.setting.pace.lease
    ids = await lab.client.submit_all([witnessed(lab.marks_file, seconds, node_selector=place) for place in places])
    with suppress(AssertionError):
        await until(lambda: lab.client.again_or_ended(ids), 4 * lab.setting.pace.lease + 40, every=0.2)
    jobs = [await lab.client.job(job_id) for job_id in ids]
    kept = sum(job["status"] == "COMPLETED" and job["run_no"] == 1 for job in jobs)
    lab.figure("taken from nodes that were well, or kept from them", len(jobs) - kept, "jobs", at_most=0)


def skewed(*without: str) -> Setting:
    off = {"node-1": ["clock_off:-60"], "node-2": ["clock_off:60"], "api-1": ["clock_off:60"]}
    own = {"node-1": {"NODE_LABELS": "clock=behind"}, "node-2": {"NODE_LABELS": "clock=ahead"}}
    return Setting(nodes=2, pace=BRISK, faults=off, own=own, without=without)


async def test_f21_the_api_dies_before_it_answers(trial: Trial) -> None:
    scenario = partial(the_api_dies_before_it_answers, keys=500)
    assert (await trial(mortal_api(45), scenario, rest=90)).violations == []


async def test_f21_without_keys_a_lost_answer_makes_a_second_job(trial: Trial) -> None:
    scenario = partial(the_api_dies_before_it_answers, keys=20)
    assert "figure" in (await trial(mortal_api(10, "idempotency"), scenario)).broken


@pytest.mark.parametrize("point", POINTS)
async def test_f22_the_scheduler_dies_in_a_commit(trial: Trial, point: str) -> None:
    assert (await trial(mortal_scheduler(point), the_scheduler_dies_in_a_commit)).violations == []


async def test_f22_without_the_repair_of_the_ledger_a_death_leaks_room(trial: Trial) -> None:
    with pytest.raises(AssertionError, match="all answered jobs to end"):
        await trial(mortal_scheduler("reserved", "ledger_repair"), the_scheduler_dies_in_a_commit)


async def test_f25_clocks_are_wrong(trial: Trial) -> None:
    assert (await trial(skewed(), clocks_are_wrong)).violations == []


async def test_f25_without_the_stores_clock_a_wrong_one_takes_runs_from_a_node(trial: Trial) -> None:
    assert "figure" in (await trial(skewed("store_clock"), clocks_are_wrong, rest=10)).broken


async def test_f28_rubbish_is_stored(trial: Trial, chance: random.Random) -> None:
    scenario = partial(rubbish_is_stored, chance=chance, count=1_000)
    assert (await trial(Setting(pace=BRISK), scenario)).violations == []


async def test_f28_without_quarantine_rubbish_stops_the_loops(trial: Trial, chance: random.Random) -> None:
    """Among jobs and nodes only: the submit itself still works, and nobody takes up what it stored."""
    scenario = partial(rubbish_is_stored, chance=chance, count=400, collections=("jobs", "nodes"))
    with pytest.raises(AssertionError, match="to be COMPLETED"):
        await trial(Setting(pace=BRISK, without=("quarantine",)), scenario)


async def test_f34_cancels_race_completions(trial: Trial, chance: random.Random) -> None:
    scenario = partial(cancels_race_completions, chance=chance, light=1_000, heavy=40)
    assert (await trial(Setting(pace=BRISK), scenario)).violations == []


async def test_f34_without_the_number_both_win(trial: Trial, chance: random.Random) -> None:
    scenario = partial(cancels_race_completions, chance=chance, light=80, heavy=0)
    outcome = await trial(Setting(pace=BRISK, without=("seq_guard",)), scenario)
    assert outcome.broken & {"I3", "I4"}


async def test_f34_without_the_subreaper_a_process_outlives_its_job(trial: Trial, chance: random.Random) -> None:
    scenario = partial(cancels_race_completions, chance=chance, light=0, heavy=4)
    assert "I2" in (await trial(Setting(pace=BRISK, without=("subreaper",)), scenario)).broken
