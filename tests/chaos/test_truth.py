"""Faults of MongoDB as a set of three: F14 to F17, each with its negative control. MongoDB is the only truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise

import httpx
import pytest

from tests.chaos.bodies import NOOP, brief
from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import Setting
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
LATER_SECONDS = 4.0
THREE = Setting(members=3)


@asynccontextmanager
async def steady_submits(lab: Laboratory, every: float = 0.25) -> AsyncIterator[list[float]]:
    """Jobs submitted all the while; the moments of the answers."""
    answers: list[float] = []

    async def submit() -> None:
        while True:
            await lab.client.submit(brief())
            answers.append(boot_time())
            await elapse(every)

    task = asyncio.create_task(submit())
    try:
        yield answers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _next_answer(answers: list[float], after: float) -> float:
    """The first answer whose submit had not been on its way already."""
    return await until(lambda: next((at for at in answers if at > after + 1), 0.0), 90, every=0.05)


async def the_primary_dies(lab: Laboratory) -> None:
    """F14: without warning, while jobs run and others come in; it returns later."""
    running = await lab.submit_witnessed(30)
    await lab.began(running)
    async with steady_submits(lab) as answers:
        await until(lambda: len(answers) > 5, 30)
        primary = await lab.mongo.primary()
        died = boot_time()
        await primary.kill()
        lab.figure("writes again after the primary died", await _next_answer(answers, died) - died, at_most=15)
        await elapse(3)
        await primary.start()
        await elapse(3)
    await _undisturbed(lab, running)


async def the_primary_freezes(lab: Laboratory, seconds: float) -> None:
    """F15: its connections stand, and nothing is answered."""
    running = await lab.submit_witnessed(30)
    await lab.began(running)
    async with steady_submits(lab) as answers:
        await until(lambda: len(answers) > 5, 30)
        primary = await lab.mongo.primary()
        froze = boot_time()
        primary.freeze()
        lab.figure("writes again after the primary froze", await _next_answer(answers, froze) - froze, at_most=20)
        await elapse(max(0.0, froze + seconds - boot_time()))
        primary.thaw()
        await elapse(5)
    await _undisturbed(lab, running)


async def the_majority_is_lost(lab: Laboratory, seconds: float) -> None:
    """F16: for several leases. Nothing is accepted that would not last; runs are frozen, and go on.

    The nodes come back a little later than the reaper, which then sees nothing but leases that have lapsed.
    """
    running = await lab.submit_witnessed(lab.setting.pace.lease + 8)
    await lab.began(running)
    others = await lab.mongo.secondaries()
    for member in others:
        member.freeze()
    lost, accepted = boot_time(), 0
    while boot_time() - lost < seconds:
        accepted += await _accepted(lab)
        await elapse(1)
    for node in lab.nodes:
        node.freeze()
    for member in others:
        member.thaw()
    back = boot_time()
    await lab.client.submit(NOOP)
    lab.figure("writes again after the majority was back", boot_time() - back, at_most=20)
    await elapse(LATER_SECONDS)
    for node in lab.nodes:
        node.thaw()
    lab.figure("accepted without a majority", accepted, "jobs", at_most=0)
    await _undisturbed(lab, running)
    marks = [m.at for m in lab.marks_of(running)]
    silent = max(b - a for a, b in pairwise(marks))
    lab.figure("longest standstill of the running job", silent)


async def _accepted(lab: Laboratory) -> bool:
    try:
        return (await lab.client.try_submit(NOOP)).status_code == 201
    except httpx.TransportError:
        return False


async def answers_outlive_the_primary(lab: Laboratory) -> None:
    """F14 with the primary left alone before it dies: what it answered meanwhile must be in the next one.

    The others are killed, not frozen: a frozen one would find the last writes in its socket when it goes on.
    """
    others = await lab.mongo.secondaries()
    primary = await lab.mongo.primary()
    for member in others:
        await member.kill()
    lost = boot_time()
    while boot_time() - lost < 6:
        await _accepted(lab)
    await primary.kill()
    for member in others:
        await member.start()
    await lab.mongo.primary()
    await primary.start()
    await lab.client.submit(NOOP)


async def primaries_change(lab: Laboratory, times: int) -> None:
    """F17: again and again. Slow, and correct."""
    running = await lab.submit_witnessed(5.0 * times)
    await lab.began(running)
    async with steady_submits(lab, 0.1) as answers:
        for _ in range(times):
            await lab.mongo.step_down()
            await lab.mongo.primary()
            await elapse(10)
    lab.figure("submits answered under step-downs", len(answers), "jobs")
    await _undisturbed(lab, running, 120)


async def _undisturbed(lab: Laboratory, job_id: str, seconds: float = 90.0) -> None:
    job = await lab.client.when(job_id, "COMPLETED", seconds)
    lab.figure("running jobs killed", job["run_no"] - 1, "runs", at_most=0)


async def test_f14_the_primary_dies(trial: Trial) -> None:
    assert (await trial(THREE, the_primary_dies, rest=90)).violations == []


async def test_f14_without_the_majority_what_was_answered_is_taken_back(trial: Trial) -> None:
    outcome = await trial(replace(THREE, without=("majority",)), answers_outlive_the_primary)
    assert "I1" in outcome.broken


async def test_f14_answers_outlive_the_primary(trial: Trial) -> None:
    assert (await trial(THREE, answers_outlive_the_primary)).violations == []


async def test_f15_the_primary_freezes(trial: Trial) -> None:
    assert (await trial(THREE, partial(the_primary_freezes, seconds=60), rest=90)).violations == []


async def test_f16_the_majority_is_lost(trial: Trial) -> None:
    assert (await trial(THREE, partial(the_majority_is_lost, seconds=60), rest=90)).violations == []


async def test_f16_without_holding_back_a_node_is_reaped_that_would_renew(trial: Trial) -> None:
    setting = replace(THREE, without=("hold_back",))
    assert "figure" in (await trial(setting, partial(the_majority_is_lost, seconds=25), rest=90)).broken


async def test_f17_primaries_change(trial: Trial) -> None:
    assert (await trial(THREE, partial(primaries_change, times=6), rest=90)).violations == []
