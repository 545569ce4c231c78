"""Faults of workers and of the processes of jobs: F1 to F6 and F26 of the catalogue, each with its negative control."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.domain.states import TERMINAL
from tests.chaos.bodies import brief, witnessed
from tests.chaos.conftest import Trial
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time, elapse
from tests.chaos.setting import BRISK, PACE, Pace, Setting
from tests.chaos.wire import Way
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
ONE_ATTEMPT = {"max_attempts": 1}


async def a_worker_dies_for_good(lab: Laboratory, **fields: Any) -> None:
    """F1: with a descendant that no process group reaches; another node takes over."""
    job_id = await lab.submit_witnessed(lab.setting.pace.lease / 2, "detached", "stubborn", "lasting", **fields)
    first = await lab.client.when(job_id, "RUNNING")
    await lab.began(job_id)
    died = await lab.node(first["node_id"]).kill()
    again = await lab.began(job_id, 2)
    lab.figure("new run on another node", again.at - died, at_most=lab.setting.pace.lease + 5)


async def a_worker_dies_and_comes_back(lab: Laboratory, **fields: Any) -> None:
    """F1: its node is known to have no lease problem, so its run begins anew at once."""
    job_id = await lab.submit_witnessed(4, "stubborn", "lasting", **fields)
    await lab.began(job_id)
    node = lab.node((await lab.client.when(job_id, "RUNNING"))["node_id"])
    died = await node.kill()
    await lab.restart(node)
    back = boot_time()
    job = await lab.client.begun(job_id, 2)
    lab.figure("claimed again after its death", boot_time() - died, at_most=6)
    again = await lab.began(job_id, job["run_no"])
    lab.figure("new run after the worker was back", max(0.0, again.at - back), at_most=3)


async def a_process_dies(lab: Laboratory) -> None:
    """F2: by a signal, and by taking more memory than it asked for."""
    crashing = await lab.submit_witnessed(0.5, "crash", retry_policy=ONE_ATTEMPT)
    await lab.began(crashing)
    job = await lab.client.when(crashing, "FAILED")
    seen = boot_time()
    last = lab.marks_of(crashing)[-1]
    lab.figure("death of a process seen", seen - last.at, at_most=1.5)
    assert job["error"]["signal"] in (11, "SIGSEGV") or "SIGSEGV" in job["error"]["message"], job["error"]
    greedy = await lab.submit_witnessed(0.1, "greedy", retry_policy=ONE_ATTEMPT)
    ended = await lab.client.when(greedy, "FAILED")
    assert ended["error"]["code"] == "out_of_memory", ended["error"]


async def a_worker_is_frozen(lab: Laboratory, **fields: Any) -> None:
    """F3: for one and a half leases, then it goes on as if nothing had been."""
    job_id = await lab.submit_witnessed(1.8 * lab.setting.pace.lease, "detached", "lasting", **fields)
    first = await lab.client.when(job_id, "RUNNING")
    await lab.began(job_id)
    node = lab.node(first["node_id"])
    node.freeze()
    await elapse(1.5 * lab.setting.pace.lease)
    node.thaw()
    await lab.client.when(job_id, "COMPLETED", 4 * lab.setting.pace.lease + 60)


async def jobs_spin(lab: Laboratory) -> None:
    """F4: more of them than there are processors, for two leases."""
    bodies = [witnessed(lab.marks_file, 2 * lab.setting.pace.lease, "spin") for _ in range(3)]
    ids = await lab.client.submit_all(bodies)
    await until(lambda: lab.client.again_or_ended(ids), 8 * lab.setting.pace.lease + 30, every=0.2)
    runs = [(await lab.client.job(job_id))["run_no"] for job_id in ids]
    lab.figure("reassigned while spinning", sum(run_no > 1 for run_no in runs), "jobs", at_most=0)


async def a_worker_is_restarted_again_and_again(lab: Laboratory, times: int) -> None:
    """F5: SIGTERM and a new start, during one long job that saves its progress."""
    [node] = lab.nodes
    job_id = await lab.submit_witnessed(2.0 * times, "checkpoint", retry_policy=ONE_ATTEMPT)
    for run_no in range(1, times + 1):
        await lab.began(job_id, run_no)
        await lab.client.when(job_id, "RUNNING", run_no=run_no)
        await elapse(1.0)
        assert await node.stop() == 0
        await lab.restart(node)
    job = await _ended(lab, job_id)
    lab.figure("user attempts used by restarts", job["attempt"] - 1, "attempts", at_most=0)
    lab.figure("jobs lost by restarts", job["status"] != "COMPLETED", "jobs", at_most=0)


async def _ended(lab: Laboratory, job_id: str, seconds: float = 60.0) -> dict[str, object]:
    await lab.client.all_ended(seconds)
    return await lab.client.job(job_id)


async def all_workers_die(lab: Laboratory, jobs: int) -> None:
    """F6: at once, with a backlog, and come back."""
    long = [witnessed(lab.marks_file, 3, "stubborn") for _ in range(jobs)]
    ids = await lab.client.submit_all([*long, *(brief(0.2) for _ in range(10 * jobs))])
    await asyncio.gather(*(lab.began(job_id) for job_id in ids[:jobs]))
    await asyncio.gather(*(node.kill() for node in lab.nodes))
    await asyncio.gather(*(lab.restart(node) for node in lab.nodes))
    back = boot_time()
    await lab.client.all_ended(90)
    lab.figure("backlog drained after all came back", boot_time() - back)


async def two_supervisors_of_one_node(lab: Laboratory) -> None:
    """F26: the second refuses to start, and nobody's runs are touched."""
    [node] = lab.nodes
    job_id = await lab.submit_witnessed(4)
    await lab.began(job_id)
    twin = lab.twin(node)
    second = await twin.launch(without=lab.setting.without)
    ended = asyncio.ensure_future(second.process.wait())
    await asyncio.wait([ended], timeout=8)
    lab.figure("second supervisors that started", int(second.alive), "processes", at_most=0)
    await twin.close()
    ended.cancel()
    job = await _ended(lab, job_id)
    lab.figure("runs disturbed by a second supervisor", job["run_no"] != 1, "runs", at_most=0)


async def a_renewal_comes_late(lab: Laboratory) -> None:
    """F18: held back in the network until the reaper has seen the lease lapsed, and let go before it acts."""
    pause = lab.folder / "reaper"
    job_id = await lab.submit_witnessed(3 * lab.setting.pace.lease)
    node = (await lab.client.when(job_id, "RUNNING"))["node_id"]
    await lab.began(job_id)
    lab.mongo_wires[node].hold(Way.THERE)
    await until(pause.with_suffix(".there").exists, 6 * lab.setting.pace.lease, every=0.05)
    lab.mongo_wires[node].mend()
    await elapse(lab.setting.pace.beat)
    pause.with_suffix(".go").touch()
    job = await _ended(lab, job_id, 8 * lab.setting.pace.lease)
    lab.figure("runs taken from a node that renewed", int(str(job["run_no"])) - 1, "runs", at_most=0)


async def a_job_kills_its_workers(lab: Laboratory, others: int) -> None:
    """F27: whoever dies is started again, as a process manager does."""
    bodies = [witnessed(lab.marks_file, 0.2) if n % 25 == 0 else brief(0.2) for n in range(others)]
    good = asyncio.ensure_future(lab.client.submit_all(bodies))
    poison = await lab.submit_witnessed(5, "poison")
    deaths = 0
    while deaths < 8 and (await lab.client.job(poison))["status"] not in TERMINAL:
        for node in lab.nodes:
            if not node.alive:
                deaths += 1
                await lab.restart(node)
        await elapse(0.1)
    await good
    lab.figure("workers that one job killed", deaths, "workers", at_most=3)
    job = await lab.client.job(poison)
    lab.figure("not recognised as poison", job["history"][-1]["reason"] != "poisoned", "jobs", at_most=0)
    await lab.client.control(poison, "cancel")
    await lab.client.all_ended(90)
    ends = [(await lab.client.job(job_id))["status"] for job_id in good.result()]
    lab.figure("other jobs that did not complete", sum(end != "COMPLETED" for end in ends), "jobs", at_most=0)


def two_nodes(pace: Pace, *without: str) -> Setting:
    return Setting(nodes=2, pace=pace, without=without)


async def test_f1_a_worker_dies_for_good(trial: Trial) -> None:
    assert (await trial(two_nodes(PACE), a_worker_dies_for_good)).violations == []


async def test_f1_without_the_guard_what_a_dead_worker_leaves_runs_on(trial: Trial) -> None:
    assert "I2" in (await trial(two_nodes(BRISK, "guard"), a_worker_dies_for_good)).broken


async def test_f1_a_worker_dies_and_comes_back(trial: Trial) -> None:
    assert (await trial(Setting(light=False), a_worker_dies_and_comes_back)).violations == []


async def test_f2_a_process_dies(trial: Trial) -> None:
    assert (await trial(Setting(pace=BRISK), a_process_dies)).violations == []


async def test_f2_without_the_watch_nobody_sees_memory_taken(trial: Trial) -> None:
    with pytest.raises(AssertionError, match="FAILED"):
        await trial(Setting(pace=BRISK, without=("memory_watch",)), a_process_dies)


async def test_f3_a_worker_is_frozen(trial: Trial) -> None:
    assert (await trial(two_nodes(PACE), a_worker_is_frozen)).violations == []


async def test_f3_without_the_guard_its_run_goes_on_beside_the_next(trial: Trial) -> None:
    assert "I2" in (await trial(two_nodes(BRISK, "guard"), a_worker_is_frozen)).broken


async def test_f4_jobs_spin(trial: Trial) -> None:
    assert (await trial(two_nodes(PACE), jobs_spin)).violations == []


async def test_f4_without_processes_of_their_own_jobs_hold_up_the_beat(trial: Trial) -> None:
    outcome = await trial(two_nodes(BRISK, "own_process"), jobs_spin, rest=20)
    assert "figure" in outcome.broken


async def test_f5_a_worker_is_restarted_again_and_again(trial: Trial) -> None:
    scenario = partial(a_worker_is_restarted_again_and_again, times=5)
    assert (await trial(Setting(), scenario)).violations == []


async def test_f5_without_the_free_drain_a_restart_is_held_against_the_job(trial: Trial) -> None:
    scenario = partial(a_worker_is_restarted_again_and_again, times=1)
    assert "figure" in (await trial(Setting(without=("free_drain",)), scenario)).broken


async def test_f6_all_workers_die(trial: Trial) -> None:
    assert (await trial(Setting(nodes=3), partial(all_workers_die, jobs=12), rest=90)).violations == []


async def test_f6_without_the_settling_nobody_takes_up_what_they_left(trial: Trial) -> None:
    setting = Setting(nodes=1, without=("settling", "reaper"))
    with pytest.raises(AssertionError, match="all answered jobs to end"):
        await trial(setting, partial(all_workers_die, jobs=2))


def late_renewal(tmp_path: Path, *without: str) -> Setting:
    return Setting(nodes=2, pace=BRISK, faults={"api-1": [f"reaper_pauses:{tmp_path / 'reaper'}"]}, without=without)


async def test_f18_a_renewal_comes_late(trial: Trial, tmp_path: Path) -> None:
    assert (await trial(late_renewal(tmp_path), a_renewal_comes_late)).violations == []


async def test_f18_without_the_fence_two_runs_live(trial: Trial, tmp_path: Path) -> None:
    assert {"I2", "figure"} & (await trial(late_renewal(tmp_path, "fence"), a_renewal_comes_late)).broken


async def test_f27_a_job_kills_its_workers(trial: Trial) -> None:
    assert (await trial(two_nodes(PACE), partial(a_job_kills_its_workers, others=499), rest=120)).violations == []


async def test_f27_without_suspicion_it_kills_on(trial: Trial) -> None:
    setting = two_nodes(PACE, "suspects")
    assert "figure" in (await trial(setting, partial(a_job_kills_its_workers, others=20), rest=120)).broken


async def test_f26_two_supervisors_of_one_node(trial: Trial) -> None:
    assert (await trial(Setting(), two_supervisors_of_one_node)).violations == []


async def test_f26_without_the_lock_the_second_ends_the_runs_of_the_first(trial: Trial) -> None:
    assert "figure" in (await trial(Setting(without=("node_lock",)), two_supervisors_of_one_node)).broken
