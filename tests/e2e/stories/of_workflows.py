"""Workflows: the pipeline of the contract, branches, fans, approvals, failures, and the retry that begins where it
failed."""

from __future__ import annotations

from typing import Any

from app.domain.workflows.state import JobRef
from tests.e2e.stories.stage import SMALL, Stage, Story, Told
from tests.e2e.test_workflows import PIPELINE, reasons, states, step_of

ONCE = {"max_attempts": 1}


def step(stage: Stage, step_id: str, *depends_on: str, options: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    """A traced step of this name; `out` and `seconds` as for `Stage.work`."""
    work = stage.work(fields.pop("name", step_id), *options, out=fields.pop("out", None))
    return {
        "step_id": step_id, "job_template": "command", "depends_on": [*depends_on], "resources": SMALL,
        "parameters": work, "retry_policy": ONCE, **fields,
    }  # fmt: skip


async def made(stage: Stage, *steps: dict[str, Any]) -> str:
    """The id of a workflow."""
    body = await stage.post("/workflows", {"workflow_name": "story", "steps": [*steps]})
    return str(body["workflow_id"])


async def over(stage: Stage, workflow_id: str) -> dict[str, Any]:
    """The workflow at its end; on the way each `STEP:STATUS` is a point of the story."""

    def ended(now: dict[str, Any]) -> bool:
        stage.reached.update(f"{step_id}:{status}" for step_id, status in states(now).items())
        return now["status"] in {"COMPLETED", "FAILED", "CANCELLED"}

    return await stage.when(f"/workflows/{workflow_id}", ended)


def told(workflow_id: str, *refs: JobRef) -> Told:
    """These jobs, under the ids derived from workflow, step, item and run."""
    return Told({"workflow_id": workflow_id}, [ref.job_id(workflow_id) for ref in refs])


def first(*step_ids: str) -> list[JobRef]:
    return [JobRef(step_id, None, 0) for step_id in step_ids]


async def the_pipeline_of_the_contract(stage: Stage) -> Told:
    workflow_id = str((await stage.post("/workflows", PIPELINE))["workflow_id"])
    done = await over(stage, workflow_id)
    assert done["status"] == "COMPLETED", done
    prepared, trained, judged = (s["outputs"] for s in done["steps"])
    jobs = [s["job_id"] for s in done["steps"]]
    assert (prepared["dataset"], trained["model"]) == (f"{jobs[0]}/dataset.parquet", f"{jobs[1]}/model.skops")
    assert (judged["overlap"], judged["rows"], judged["accuracy"] > 0.8) == (0, 60, True)
    return told(workflow_id, *first(*states(done)))


async def branches_and_skips(stage: Stage) -> Told:
    workflow_id = await made(
        stage,
        step(stage, "judge", out={"accuracy": 0.93}),
        step(stage, "publish", "judge", when="steps.judge.outputs.accuracy > 0.9"),
        step(stage, "improve", "judge", when="steps.judge.outputs.accuracy <= 0.9"),
        step(stage, "after", "improve"),
        step(stage, "join", "publish", "improve", dependency_type="none_failed"),
    )
    done = await over(stage, workflow_id)
    ran = ("judge", "publish", "join")
    assert states(done) == {**dict.fromkeys(states(done), "SKIPPED"), **dict.fromkeys(ran, "COMPLETED")}
    assert (done["status"], reasons(done)) == (
        "COMPLETED",
        {"improve": "condition_false", "after": "upstream_skipped"},
    )
    return told(workflow_id, *first(*ran))


async def a_fan_of_two_at_once(stage: Stage) -> Told:
    items = [*"abcdef"]
    fan = step(
        stage, "each", "list", name="each-${{ item }}", out={"v": "${{ item }}"},
        for_each="${{ steps.list.outputs.names }}", max_parallel=2,
    )  # fmt: skip
    workflow_id = await made(stage, step(stage, "list", out={"names": items}), fan, step(stage, "join", "each"))
    done = await over(stage, workflow_id)
    assert states(done) == dict.fromkeys(("list", "each", "join"), "COMPLETED")
    assert step_of(done, "each")["outputs"] == [{"v": item} for item in items]
    refs = [JobRef("each", n, 0) for n in range(len(items))]
    assert await stage.most_at_once([ref.job_id(workflow_id) for ref in refs]) <= 2
    return told(workflow_id, *refs, *first("list", "join"))


async def approvals_given_and_expired(stage: Stage) -> Told:
    """Of the three one is given by a person, and two expire: by default the one begins, the other does not."""
    workflow_id = await made(
        stage,
        step(stage, "given", approval={"message": "sure?"}),
        step(stage, "begins", "given", approval={"timeout": 2, "default": "approve"}),
        step(stage, "refused", "begins", approval={"timeout": 0.5, "default": "reject"}),
        step(stage, "after", "refused"),
        step(stage, "anyway", "refused", dependency_type="all_finished"),
    )
    stage.reached.add("asked")
    await stage.post(f"/workflows/{workflow_id}/steps/given/approve", {"reason": "fine"})
    done = await over(stage, workflow_id)
    assert states(done) == {
        "given": "COMPLETED", "begins": "COMPLETED", "refused": "REJECTED", "after": "SKIPPED", "anyway": "COMPLETED",
    }  # fmt: skip
    assert reasons(done) == {"after": "upstream_failed"}
    return told(workflow_id, *first("given", "begins", "anyway"))


async def a_failure_runs_its_step(stage: Stage) -> Told:
    fails = ("--fails-without", str(stage.folder / "never"))
    workflow_id = await made(
        stage,
        step(stage, "other", options=fails, on_failure="continue"),
        step(stage, "train", "other", options=fails, dependency_type="all_finished", on_failure="clean"),
        step(stage, "clean"),
        step(stage, "publish", "train"),
    )
    done = await over(stage, workflow_id)
    assert done["status"] == "FAILED"
    assert states(done) == {"other": "FAILED", "train": "FAILED", "clean": "COMPLETED", "publish": "SKIPPED"}
    return told(workflow_id, *first("other", "train", "clean"))


async def eight_steps_of_which_the_fifth_fails(stage: Stage) -> Told:
    """Retried from where it failed: steps 1 to 4 do not run again."""
    flag = stage.folder / "flag"
    names = [f"s{n}" for n in range(1, 9)]
    fails = {"s5": ("--fails-without", str(flag))}
    steps = [step(stage, name, *names[max(0, n - 1) : n], options=fails.get(name, ())) for n, name in enumerate(names)]
    workflow_id = await made(stage, *steps)
    failed = await over(stage, workflow_id)
    assert [*states(failed).values()] == ["COMPLETED"] * 4 + ["FAILED"] + ["SKIPPED"] * 3
    flag.touch()
    before = len(stage.names())
    await stage.post(f"/workflows/{workflow_id}/retry", {"reason": "the disk is back"})
    done = await over(stage, workflow_id)
    assert done["status"] == "COMPLETED"
    assert sorted({*stage.names()[before:]}) == names[4:]
    assert [s["job_id"] for s in done["steps"][:4]] == [s["job_id"] for s in failed["steps"][:4]]
    return told(workflow_id, *first(*names[:5]), *(JobRef(name, None, 1) for name in names[4:]))


PIPELINE_KILLS = (
    ("api", "data_preparation:RUNNING"), ("worker", "model_training:RUNNING"), ("leader", "model_evaluation:RUNNING"),
)  # fmt: skip
APPROVAL_KILLS = ("api", "asked"), ("leader", "given:COMPLETED"), ("worker", "begins")
WORKFLOWS = (
    Story(the_pipeline_of_the_contract, PIPELINE_KILLS),
    Story(branches_and_skips, (("worker", "judge"), ("leader", "judge#2"), ("api", "publish"))),
    Story(a_fan_of_two_at_once, (("leader", "list"), ("worker", "each-b"), ("api", "each-e"))),
    Story(approvals_given_and_expired, APPROVAL_KILLS),
    Story(a_failure_runs_its_step, (("worker", "other"), ("leader", "train"), ("api", "clean"))),
    Story(eight_steps_of_which_the_fifth_fails, (("leader", "s2"), ("worker", "s5"), ("api", "s6"))),
)
