"""A sweep driven on: exactly as many different trials as asked, whatever is cut off; goals, failures, early stops."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import pytest

from app.domain.batch_transitions import cancel_batch, pause_batch, resume_batch, retry_batch
from app.domain.batches import BatchStatus, member_id
from app.domain.specification import JobRequest
from app.domain.states import JobStatus
from app.domain.sweeps.asha import EarlyStopping
from app.domain.sweeps.drawing import chance
from app.domain.sweeps.space import Space, key
from app.domain.sweeps.sweep import Sweep
from app.domain.sweeps.trials import Trial
from app.operations.cancel import cancel
from app.operations.retry import retry
from tests.unit.sweeps.builders import a_sweep, choice, whole
from tests.unit.sweeps.world import World

SPACE = Space.of([choice("kernel", "linear", "poly", "rbf"), whole("degree", 1, 4), choice("C", 0.1, 1.0)])
"""Twenty-four trials."""


def a_search(**more: object) -> Sweep:
    return a_sweep(SPACE, **{"max_trials": 12, "max_parallel": 3, **more})


def score(trial: Trial) -> float | None:
    """A tenth of the trials fail, each in its own way."""
    return None if chance("fails", key(trial.values)) < 0.1 else chance("value", key(trial.values))


async def a_world(sweep: Sweep) -> World:
    world = World(sweep)
    await world.begin()
    return world


async def test_at_most_so_many_are_under_way() -> None:
    world = await a_world(a_search())
    await world.look()
    jobs = await world.jobs()
    assert [job.status for job in jobs] == [JobStatus.QUEUED] * 3
    assert [job.id for job in jobs] == [member_id(world.batch_id, n) for n in range(3)]
    await world.look()
    assert len(await world.jobs()) == 3
    await world.completed(await world.running(jobs[1]), 0.5)
    await world.look()
    assert len(await world.jobs(JobStatus.QUEUED)) == 3


async def test_trials_that_were_entered_and_not_let_in_are_in_the_next_look() -> None:
    """The submit asks the first for a moment only; what is older is left to the reconciler."""
    for seconds, status in ((1, JobStatus.QUEUED), (6, JobStatus.SUBMITTED)):
        world = await a_world(a_search())
        world.crash(7)
        await world.look()
        assert [job.status for job in await world.jobs()] == [JobStatus.SUBMITTED] * 3
        world.clock.advance(seconds)
        await world.look()
        assert [job.status for job in await world.jobs()] == [status] * 3


async def test_a_search_that_learns_asks_some_in_each_look_so_that_others_have_theirs() -> None:
    world = await a_world(a_search(strategy="tpe", max_trials=20, max_parallel=20))
    asked = []
    for _ in range(3):
        await world.look()
        asked.append(len(await world.jobs()))
    assert asked == [16, 20, 20]


async def test_a_trial_is_a_job_with_its_values_in_its_batch() -> None:
    world = World(a_search(), JobRequest("hyperparameter_tuning", {"algorithm": "svm"}, tags=("night",)))
    await world.begin()
    await world.look()
    [trial, *_], [job, *_] = await world.trials(), await world.jobs()
    assert {name: job.parameters[name] for name in trial.values} == trial.values
    assert (job.batch_id, job.membership and job.membership.index, job.tags) == (world.batch_id, 0, ("night",))
    assert (job.parameters["algorithm"], job.history[0].actor, job.template_version) == ("svm", "ann", 1)


@pytest.mark.parametrize("strategy", ["grid", "random", "tpe"])
async def test_a_sweep_comes_to_its_end_with_all_its_trials(strategy: str) -> None:
    world = await a_world(a_search(strategy=strategy))
    await world.run_all(score)
    trials = await world.trials()
    assert len({t.key for t in trials}) == len(trials) == 12
    assert all(t.end is not None for t in trials)
    failed = [t for t in trials if score(t) is None]
    assert [t.end.outcome for t in failed if t.end] == ["failed"] * len(failed)


@pytest.mark.parametrize("before", [True, False], ids=["before the write", "after the write"])
@pytest.mark.parametrize("strategy", ["grid", "random"])
async def test_a_crash_between_any_two_writes_changes_nothing(strategy: str, before: bool) -> None:
    """For each write that a whole search makes: the process dies there, another takes over, the trials are the same."""
    undisturbed = await a_world(a_search(strategy=strategy))
    await undisturbed.run_all(score)
    want = [t.values for t in await undisturbed.trials()]
    writes = undisturbed.fuse.writes
    assert writes > 40
    for at in range(1, writes + 1):
        world = await a_world(a_search(strategy=strategy))
        world.crash(at, before=before)
        await world.run_all(score, cycle([2, 0, 1]))
        assert [t.values for t in await world.trials()] == want, at
        assert len(await world.jobs(JobStatus.COMPLETED, JobStatus.FAILED)) == 12, at
        assert world.crashes == 1 or at > world.fuse.writes


@pytest.mark.parametrize("before", [True, False], ids=["before the write", "after the write"])
async def test_a_search_that_learns_makes_as_many_different_trials_whatever_is_cut_off(before: bool) -> None:
    """What a model suggests depends on what had ended: so the one that was recorded is the one that is run. Crashes are
    tried where it is asked, after the first ten trials."""
    for at in range(50, 70):
        world = await a_world(a_search(strategy="tpe", max_trials=14))
        world.crash(at, before=before)
        await world.run_all(score, cycle([1, 2, 0]))
        trials, jobs = await world.trials(), {job.id: job for job in await world.jobs()}
        assert len({t.key for t in trials}) == len(trials) == len(jobs) == 14, at
        for trial in trials:
            run = jobs[trial.job_id].parameters
            assert {name: run[name] for name in trial.values} == trial.values, (at, trial.number)


@pytest.mark.parametrize("before", [True, False], ids=["before the write", "after the write"])
async def test_a_reproducible_search_that_learns_asks_the_same_whatever_is_cut_off(before: bool) -> None:
    search = a_search(strategy="tpe", max_trials=14, lag=3)
    undisturbed = await a_world(search)
    await undisturbed.run_all(score)
    want = [t.values for t in await undisturbed.trials()]
    for at in range(50, 70):
        world = await a_world(search)
        world.crash(at, before=before)
        await world.run_all(score, cycle([1, 2, 0]))
        assert [t.values for t in await world.trials()] == want, at


async def test_two_that_drive_at_once_enter_each_trial_once() -> None:
    world = await a_world(a_search(max_parallel=5))
    other = World(a_search(max_parallel=5))
    other.stores = other.services = world.stores
    other.batch_id = world.batch_id
    for _ in range(4):
        await world.look()
        await other.look()
        for job in await world.jobs(JobStatus.QUEUED):
            await world.completed(await world.running(job), 0.5)
    trials = await world.trials()
    assert len({t.key for t in trials}) == len(trials) == len(await world.jobs()) == 12


async def test_a_goal_cancels_the_rest() -> None:
    world = await a_world(a_search(goal=0.9))
    await world.look()
    first, second, _ = await world.jobs()
    await world.running(second)
    await world.completed(await world.running(first), 0.95)
    await world.look()
    batch = await world.batch()
    assert batch.control is not None
    assert (batch.control.action, batch.control.reason) == ("stop", "goal_reached: trial 0 reached 0.95")
    assert len(await world.jobs()) == 3
    await world.look()
    assert len(await world.trials()) == 3


async def test_five_equal_failures_in_a_row_stop_it() -> None:
    world = await a_world(a_search())
    for _ in range(5):
        await world.look()
        job = (await world.jobs(JobStatus.QUEUED))[0]
        await world.failed(await world.running(job))
    await world.look()
    batch = await world.batch()
    assert batch.control is not None and batch.control.reason is not None
    assert batch.control.reason.startswith("failing: 5 trials in a row failed alike")


async def test_an_objective_that_no_trial_tells_stops_it_and_names_what_they_told() -> None:
    world = await a_world(a_search())
    for _ in range(5):
        await world.look()
        job = (await world.jobs(JobStatus.QUEUED))[0]
        await world.completed(await world.running(job), loss=0.5, f1=0.1)
    await world.look()
    batch = await world.batch()
    assert batch.control is not None
    why = "no_objective: none of the first 5 trials that completed told accuracy; they told f1, loss"
    assert (batch.control.action, batch.control.reason) == ("stop", why)
    for job in await world.jobs(JobStatus.QUEUED):
        await cancel(world.stores, job.id, "ann", None)
    await world.look()
    batch = await world.batch()
    assert (batch.status, batch.history[-1].detail) == (BatchStatus.FAILED, why)
    assert len(await world.trials()) == 7


async def test_a_paused_sweep_asks_no_more_and_goes_on_when_it_is_resumed() -> None:
    world = await a_world(a_search())
    await world.look()
    batch = await world.batch()
    change = pause_batch(batch, world.stores.stamp("ann"), None)
    assert change is not None and await world.stores.batches.commit(batch, change)
    [first, *_] = await world.jobs()
    await world.completed(await world.running(first), 0.5)
    await world.look()
    assert [t.end is not None for t in await world.trials()] == [True, False, False]
    batch = await world.batch()
    change = resume_batch(batch, world.stores.stamp("ann"), None)
    assert change is not None and await world.stores.batches.commit(batch, change)
    await world.look()
    assert len(await world.trials()) == 4


async def test_a_trial_that_was_retried_by_hand_has_another_end() -> None:
    world = await a_world(a_search())
    await world.look()
    [first, second, *_] = await world.jobs()
    await world.failed(await world.running(first))
    await world.look()
    assert [t.end and t.end.outcome for t in await world.trials()][:1] == ["failed"]
    again = await retry(world.stores, first.id, "ann", None)
    await world.look()
    assert (await world.trials())[0].end is None
    assert again.status is JobStatus.SUBMITTED, "others have all the places"
    await world.completed(await world.running(second), 0.5)
    queued = await world.stores.jobs.get(again.id)
    assert queued is not None and queued.status is JobStatus.QUEUED
    await world.completed(await world.running(queued), 0.7)
    await world.look()
    trial = (await world.trials())[0]
    assert trial.end is not None and (trial.end.outcome, trial.end.value) == ("completed", 0.7)


async def test_what_is_not_among_the_best_is_told_to_stop_early_and_counts() -> None:
    world = await a_world(a_search(early_stopping=EarlyStopping(3, 1)))
    await world.look()
    jobs = [await world.running(job) for job in await world.jobs()]
    for job, value in zip(jobs, (0.9, 0.8, 0.1), strict=True):
        await world.tell(job, {1: value})
    await world.look()
    stopped = await world.stores.jobs.get(jobs[2].id)
    assert stopped is not None and stopped.control is not None
    assert stopped.control.action == "prune"
    assert stopped.control.reason == "trial 2 was not among the best at step 1 of its search"
    await world.look()
    again = await world.stores.jobs.get(jobs[2].id)
    assert again == stopped
    await world.pruned(stopped)
    await world.look()
    trial = (await world.trials())[2]
    assert trial.end is not None
    assert (trial.end.outcome, trial.end.value, trial.stopped_at, trial.rungs) == ("pruned", 0.1, 1, {1: 0.1})
    assert len(await world.trials()) == 4


async def test_a_users_wish_comes_before_an_early_stop() -> None:
    world = await a_world(a_search(early_stopping=EarlyStopping(2, 1), max_parallel=2))
    await world.look()
    jobs = [await world.running(job) for job in await world.jobs()]
    await world.tell(jobs[0], {1: 0.9})
    await world.tell(jobs[1], {1: 0.1})
    await cancel(world.stores, jobs[1].id, "ann", None)
    await world.look()
    job = await world.stores.jobs.get(jobs[1].id)
    assert job is not None and job.control is not None and job.control.action == "cancel"


async def test_a_trial_without_a_number_counts_and_stops_nothing() -> None:
    world = await a_world(a_search(max_trials=7, goal=0.99))
    await world.run_all(lambda trial: float("nan"))
    trials = await world.trials()
    assert [t.end and t.end.value for t in trials] == [None] * 7
    assert (await world.batch()).status is BatchStatus.COMPLETED


async def test_when_the_template_takes_a_trial_no_more_the_sweep_stops() -> None:
    world = await a_world(a_search())
    world.request = JobRequest("hyperparameter_tuning", {"algorithm": "svm", "model": "x"})
    spec = dict((await world.batch()).spec or {})
    spec["template_version"] = 7
    batch = replace(await world.batch(), spec=spec)
    await world.stores.batches.insert(replace(batch, id=batch.id[:-1] + "v"), [])
    world.batch_id = batch.id[:-1] + "v"
    await world.look()
    control = (await world.batch()).control
    assert control is not None and control.reason is not None
    assert control.reason.startswith("failing: a trial cannot be submitted any more")
    assert (await world.batch()).status is BatchStatus.RUNNING


ENDS = {
    "all completed": (a_search(max_trials=4), lambda t: 0.5, BatchStatus.COMPLETED),
    "one failed": (a_search(max_trials=4), lambda t: None if t.number == 2 else 0.5, BatchStatus.FAILED),
    "a goal": (a_search(goal=0.7), lambda t: 0.1 * t.number + 0.5, BatchStatus.COMPLETED),
    "failing": (a_search(), lambda t: None, BatchStatus.FAILED),
}


@pytest.mark.parametrize("case", ENDS)
async def test_how_a_sweep_ends(case: str) -> None:
    sweep, how, want = ENDS[case]
    world = await a_world(sweep)
    world.fault = "alike"
    await world.run_all(how)
    batch = await world.batch()
    assert (batch.status, batch.control) == (want, None)
    assert batch.counts.open == 0 and batch.counts.laid_out == len(await world.trials())
    best = max((t.end.value for t in await world.trials() if t.end and t.end.value is not None), default=None)
    found = (batch.outcome or {})["best"]
    assert (found and found["value"]) == best


async def test_a_sweep_that_is_cancelled_ends_when_nothing_of_it_is_open() -> None:
    world = await a_world(a_search())
    await world.look()
    batch = await world.batch()
    change = cancel_batch(batch, world.stores.stamp("ann"), "enough")
    assert change is not None and await world.stores.batches.commit(batch, change)
    for job in await world.jobs():
        await cancel(world.stores, job.id, "ann", None)
    await world.look()
    assert (await world.batch()).status is BatchStatus.CANCELLED
    assert [t.end and t.end.outcome for t in await world.trials()] == ["cancelled"] * 3


async def test_what_was_entered_while_a_user_cancelled_the_sweep_is_cancelled_too() -> None:
    world = await a_world(a_search())
    claim = world.stores.names.claim

    async def meanwhile(base: str) -> int:
        batch = await world.batch()
        change = cancel_batch(batch, world.stores.stamp("ann"), None)
        assert change is None or await world.stores.batches.commit(batch, change)
        return await claim(base)

    world.stores.names.claim = meanwhile  # type: ignore[method-assign]
    await world.look()
    assert [job.status for job in await world.jobs()] == [JobStatus.CANCELLED] * 3
    await world.look()
    assert (await world.batch()).status is BatchStatus.CANCELLED
    assert [t.end and t.end.outcome for t in await world.trials()] == ["cancelled"] * 3


async def test_of_a_trial_whose_run_was_lost_the_values_at_its_rungs_count() -> None:
    world = await a_world(a_search(early_stopping=EarlyStopping(3, 1), max_parallel=1))
    await world.look()
    job = await world.running((await world.jobs())[0])
    await world.tell(job, {1: 0.7, 3: 0.6})
    await world.look()
    await world.stores.metrics.delete_of([job.id])
    await world.completed(job)
    await world.look()
    end = (await world.trials())[0].end
    assert end is not None and (end.value, end.step) == (0.7, 1)


async def test_a_trial_that_was_cancelled_before_its_job_was_there_is_entered_when_the_sweep_is_retried() -> None:
    world = await a_world(a_search())
    world.crash(2, before=True)
    await world.look()
    assert (len(await world.trials()), await world.jobs()) == (1, [])
    batch = await world.batch()
    change = cancel_batch(batch, world.stores.stamp("ann"), None)
    assert change is not None and await world.stores.batches.commit(batch, change)
    await world.look()
    assert (await world.batch()).status is BatchStatus.CANCELLED
    batch = await world.batch()
    change = retry_batch(batch, world.stores.stamp("ann"), None, retryable=1)
    assert await world.stores.batches.commit(batch, change)
    batch = await world.batch()
    assert batch.control is not None
    await world.stores.batches.carried_out(batch.id, batch.control)
    await world.look()
    assert [job.id for job in await world.jobs(JobStatus.QUEUED)] == [member_id(world.batch_id, n) for n in range(3)]
