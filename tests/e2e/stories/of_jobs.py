"""Jobs that wait for one another, batches, and sweeps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

from app.domain.batches import member_id
from app.domain.dependencies import End, outcome
from app.domain.job import DependencyType
from app.domain.sweeps.drawing import draw, grid
from app.domain.sweeps.space import Dimension, Space, Values, key
from app.domain.sweeps.sweep import Direction, Strategy, Sweep
from app.sampling import OptunaSampler
from tests.e2e.stories.stage import SMALL, Stage, Story, Told
from tests.support.asking import asked_alone

ONCE = {"max_attempts": 1}


def job(stage: Stage, name: str, *options: str, **fields: Any) -> dict[str, Any]:
    """A traced job of this name; `options` and `seconds` as for `Stage.work`."""
    parameters = stage.work(name, *options, seconds=fields.pop("seconds", 0.1))
    return {
        "template": "command", "parameters": parameters, "resources": SMALL, "retry_policy": ONCE, **fields,
    }  # fmt: skip


async def jobs_that_wait_for_jobs(stage: Stage) -> Told:
    """Every type of dependency on every end, and a chain that becomes hopeless."""
    tag = f"story-{os.urandom(4).hex()}"

    async def submitted(name: str, *options: str, **fields: Any) -> str:
        return str((await stage.post("/jobs", job(stage, name, *options, tags=[tag], **fields)))["job_id"])

    go = stage.folder / "go"
    root = await submitted("root", "--waits-for", str(go))
    parents = {
        End.COMPLETED: await submitted("good", dependencies=[root]),
        End.FAILED: await submitted("bad", "--fails-without", str(stage.folder / "never"), dependencies=[root]),
        End.TIMEOUT: await submitted("late", seconds=60, timeout=0.5, dependencies=[root]),
    }
    cells = [*product(DependencyType, parents)]
    children = {}
    for kind, end in cells:
        child = await submitted(f"{kind}-{end}", dependency_type=kind, dependencies=[parents[end]])
        children[kind, end] = child
        stage.reached.add(f"{kind}-{end} is submitted")
    chain = [parents[End.FAILED]]
    for n in range(12):
        chain.append(await submitted(f"chain-{n}", dependencies=[chain[-1]]))
    go.touch()
    for (kind, end), child in children.items():
        ended = await stage.over(f"/jobs/{child}")
        assert ended["status"] == ("COMPLETED" if outcome(kind, end) == "runs" else "FAILED"), (kind, end)
    for last in [(await stage.over(f"/jobs/{job_id}"))["history"][-1] for job_id in chain[1:]]:
        assert (last["reason"], last["detail"]) == ("dependency_failed", chain[0])
    assert [(await stage.over(f"/jobs/{job_id}"))["status"] for job_id in parents.values()] == [*parents]
    return Told({"tag": tag}, [root, *parents.values(), *children.values(), *chain[1:]])


async def batch_of(stage: Stage, jobs: Sequence[dict[str, Any]], **fields: Any) -> tuple[str, Told]:
    """Its id, and its jobs under the ids that follow from it."""
    made = await stage.post("/jobs/batch", {"jobs": [*jobs], **fields})
    batch_id = str(made["batch_id"])
    return batch_id, members(batch_id, len(jobs))


def members(batch_id: str, size: int) -> Told:
    return Told({"batch_id": batch_id}, [member_id(batch_id, index) for index in range(size)])


async def a_batch_of_three_at_once(stage: Stage) -> Told:
    batch_id, told = await batch_of(stage, [job(stage, f"b{n}") for n in range(9)], max_parallel=3)
    batch = await stage.over(f"/batches/{batch_id}")
    assert (batch["status"], batch["counts"]["completed"]) == ("COMPLETED", 9)
    assert await stage.most_at_once(told.job_ids) <= 3
    return told


async def a_batch_one_by_one(stage: Stage) -> Told:
    fails = {2: ("--fails-without", str(stage.folder / "never"))}
    jobs = [job(stage, f"b{n}", *fails.get(n, ())) for n in range(6)]
    batch_id, told = await batch_of(stage, jobs, execution_mode="sequential")
    batch = await stage.over(f"/batches/{batch_id}")
    assert (batch["status"], batch["counts"]["completed"], batch["counts"]["failed"]) == ("FAILED", 5, 1)
    histories = [(await stage.get(f"/jobs/{job_id}"))["history"] for job_id in told.job_ids]
    for before, after in pairwise(histories):
        assert before[-1]["at"] <= next(entry["at"] for entry in after if entry["to"] == "QUEUED")
    return told


async def a_batch_that_fails_fast_and_is_retried(stage: Stage) -> Told:
    flag = stage.folder / "flag"
    others = [job(stage, f"other{n}", "--waits-for", str(flag)) for n in range(3)]
    batch_id, told = await batch_of(stage, [job(stage, "needs", "--fails-without", str(flag)), *others], fail_fast=True)
    batch = await stage.over(f"/batches/{batch_id}")
    assert (batch["status"], batch["counts"]["failed"], batch["counts"]["cancelled"]) == ("FAILED", 1, 3)
    flag.touch()
    await stage.post(f"/batches/{batch_id}/retry")
    batch = await stage.over(f"/batches/{batch_id}")
    assert (batch["status"], batch["counts"]["completed"]) == ("COMPLETED", 4)
    return told


async def searched(stage: Stage, trials: int, **sweep: Any) -> tuple[Told, list[Values]]:
    """The jobs of a sweep, and the trials in their order, all of them different."""
    command = stage.work("trial", "--value", "${{ parameters.arguments.x }}")
    asked = {
        "template": "command", "parameters": command, "resources": SMALL, "objective": "value", "max_trials": trials,
        "max_parallel": 3, **sweep,
    }  # fmt: skip
    batch_id = str((await stage.post("/jobs/batch", {"sweep": asked}))["batch_id"])
    assert (await stage.over(f"/batches/{batch_id}"))["status"] == "COMPLETED"
    board = await stage.get(f"/batches/{batch_id}/leaderboard", limit=500)
    assert (board["asked"], board["ended"]) == (trials, trials)
    rows = sorted(board["trials"], key=lambda row: row["number"])
    assert [row["job_id"] for row in rows] == [*members(batch_id, trials).job_ids]
    found = [row["parameters"] for row in rows]
    assert len({key(values) for values in found}) == trials
    return members(batch_id, trials), found


async def a_grid(stage: Stage) -> Told:
    space = {
        "arguments.x": {"type": "int", "low": 1, "high": 6},
        "arguments.y": {"type": "categorical", "values": [*"abc"]},
    }
    told, found = await searched(stage, 18, space=space, strategy="grid")
    x, y = Dimension("arguments.x", "int", 1, 6), Dimension("arguments.y", "categorical", values=("a", "b", "c"))
    assert found == grid(Space.of([x, y]), 18)
    return told


async def a_search_at_random(stage: Stage) -> Told:
    """The trials are those that its seed makes, undisturbed."""
    told, found = await searched(
        stage, 18, space={"arguments.x": {"type": "int", "low": 1, "high": 24}}, strategy="random", seed=11
    )
    space, taken = Space.of([Dimension("arguments.x", "int", 1, 24)]), set[str]()
    for number, values in enumerate(found):
        assert values == draw(space, 11, number, taken)
        taken.add(key(values))
    return told


async def a_search_that_learns(stage: Stage) -> Told:
    """As one at random: its seed and the values of trials decide, whatever is killed, and whichever end first."""
    space = {"arguments.x": {"type": "float", "low": 0, "high": 1}}
    told, found = await searched(stage, 14, space=space, strategy="tpe", seed=11)
    sweep = Sweep(
        Space.of([Dimension("arguments.x", "float", 0, 1)]), Strategy.TPE, "value", Direction.MAXIMIZE, 14, 3, 11, lag=3
    )
    assert found == await asked_alone(OptunaSampler(), sweep, lambda values: values["arguments.x"])
    return told


THRICE = (("api", "trial#3"), ("leader", "trial#6"), ("worker", "trial#10"))
JOBS = (
    Story(jobs_that_wait_for_jobs, (
        ("api", "any_failed-FAILED is submitted"), ("worker", "bad"), ("leader", "good"),
    )),
    Story(a_batch_of_three_at_once, (("leader", "b0"), ("worker", "b4"), ("api", "b7"))),
    Story(a_batch_one_by_one, (("worker", "b1"), ("api", "b2"), ("leader", "b3"))),
    Story(a_batch_that_fails_fast_and_is_retried, (("worker", "needs"), ("leader", "needs#2"), ("api", "needs#3"))),
    Story(a_grid, THRICE),
    Story(a_search_at_random, THRICE),
    Story(a_search_that_learns, THRICE),
)  # fmt: skip
