"""Cancel, pause, resume, retry, rerun, approve: what each makes of a workflow."""

from __future__ import annotations

import pytest

from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.workflows.advance import Facts
from app.domain.workflows.controls import answer, cancel, granted, pause, rerun, resume, retry, start
from app.domain.workflows.definition import Approval
from app.domain.workflows.state import JobRef
from tests.unit.workflows.builders import World, step


def eight() -> World:
    return World(step("s1"), *(step(f"s{n}", f"s{n - 1}") for n in range(2, 9))).start()


def test_a_retry_does_not_run_finished_steps_again() -> None:
    world = eight().run(lambda ref: "FAILED" if ref.step_id == "s5" else "COMPLETED")
    assert world.status == "FAILED"
    first = len(world.released)
    world.make(retry(world.workflow, world.pinned, None))
    world.run(lambda _: "COMPLETED")
    assert world.status == "COMPLETED"
    assert [(r.step_id, r.run) for r in world.released[first:]] == [("s5", 1), ("s6", 1), ("s7", 1), ("s8", 1)]


def test_a_retry_keeps_what_a_condition_skipped() -> None:
    facts = {"c": Facts(when=False)}
    world = World(step("a"), step("c", "a", when="x"), step("b", "a"), facts=facts).start()
    world.run(lambda ref: "FAILED" if ref.step_id == "b" else "COMPLETED")
    world.make(retry(world.workflow, world.pinned, None))
    assert world.states == {"a": "COMPLETED", "c": "SKIPPED", "b": "ACTIVE"}


def test_a_retry_runs_only_the_items_that_did_not_complete() -> None:
    world = World(step("f", for_each=("x", "y", "z")), step("j", "f")).start()
    world.run(lambda ref: "FAILED" if ref.item == 1 else "COMPLETED")
    assert world.states == {"f": "FAILED", "j": "SKIPPED"}
    assert world.make(retry(world.workflow, world.pinned, None)) == [JobRef("f", 1, 1)]
    world.run(lambda _: "COMPLETED")
    assert world.status == "COMPLETED"


def test_a_rerun_begins_at_its_step_with_other_parameters() -> None:
    world = eight().run(lambda _: "COMPLETED")
    began = world.make(rerun(world.workflow, world.pinned, "s7", {"lr": 1}, None))
    assert began == [JobRef("s7", None, 1)]
    assert world.workflow.step("s7").parameters == {"lr": 1}
    assert world.states["s6"] == "COMPLETED" and world.states["s8"] == "PENDING"
    world.run(lambda _: "COMPLETED")
    assert world.status == "COMPLETED"


def test_a_rerun_of_an_unknown_step_names_the_nearest() -> None:
    world = eight().run(lambda _: "COMPLETED")
    with pytest.raises(Invalid) as refused:
        rerun(world.workflow, world.pinned, "s9x", {}, None)
    assert refused.value.errors[0].path == "from_step"


def test_a_cancel_ends_what_waits_and_then_the_whole() -> None:
    world = World(step("a"), step("b", "a"), step("c", approval=Approval())).start()
    world.make(cancel(world.workflow, world.pinned, "enough"))
    assert world.states == {"a": "ACTIVE", "b": "CANCELLED", "c": "CANCELLED"}
    assert world.workflow.cancelling and world.status == "RUNNING"
    assert cancel(world.workflow, world.pinned, None) is None
    world.end(("a", "CANCELLED"))
    assert world.status == "CANCELLED" and world.workflow.wish is None
    assert cancel(world.workflow, world.pinned, None) is None


def test_a_cancel_wins_over_an_end() -> None:
    world = World(step("a"), step("b", "a")).start()
    world.make(cancel(world.workflow, world.pinned, None))
    assert world.end(("a", "COMPLETED")) == []
    assert world.status == "CANCELLED"


def test_a_cancelled_fan_out_begins_no_item() -> None:
    world = World(step("f", for_each=("x", "y"), max_parallel=1)).start()
    world.make(cancel(world.workflow, world.pinned, None))
    assert world.end(("f", "COMPLETED"), item=0) == []
    assert world.status == "CANCELLED" and world.states == {"f": "CANCELLED"}


def test_a_paused_fan_out_with_nothing_active_can_be_cancelled() -> None:
    world = World(step("f", for_each=("x", "y"), max_parallel=1)).start()
    world.make(pause(world.workflow, None))
    world.end(("f", "COMPLETED"), item=0)
    world.make(cancel(world.workflow, world.pinned, None))
    assert world.status == "CANCELLED"


def test_a_cancel_before_the_start() -> None:
    world = World(step("a"))
    world.make(cancel(world.workflow, world.pinned, None))
    assert world.status == "CANCELLED" and world.released == []


def test_a_pause_holds_back_what_would_begin_until_the_resume() -> None:
    world = World(step("a"), step("b", "a"), step("f", for_each=("x", "y"), max_parallel=1)).start()
    world.make(pause(world.workflow, None))
    assert world.status == "PAUSED" and world.workflow.wish == "pause"
    world.make(granted(world.workflow))
    assert world.workflow.wish is None
    assert world.end(("a", "COMPLETED")) == []
    assert world.end(("f", "COMPLETED"), item=0) == []
    assert sorted(world.make(resume(world.workflow, world.pinned, None))) == [JobRef("b", None, 0), JobRef("f", 1, 0)]
    assert resume(world.workflow, world.pinned, None) is None


def test_the_end_of_the_last_job_ends_a_paused_workflow() -> None:
    world = World(step("a")).start()
    world.make(pause(world.workflow, None))
    world.end(("a", "COMPLETED"))
    assert world.status == "COMPLETED" and world.workflow.wish is None


def test_an_approval_lets_the_step_begin() -> None:
    world = World(step("a", approval=Approval("sure?"))).start()
    assert world.make(answer(world.workflow, world.pinned, "a", None, approved=True)) == [JobRef("a", None, 0)]
    assert answer(world.workflow, world.pinned, "a", None, approved=True) is None
    with pytest.raises(Conflict):
        answer(world.workflow, world.pinned, "a", None, approved=False)


def test_a_rejection_ends_the_step_and_the_workflow() -> None:
    world = World(step("a", approval=Approval("sure?")), step("b", "a")).start()
    world.make(answer(world.workflow, world.pinned, "a", "not now", approved=False))
    assert world.states == {"a": "REJECTED", "b": "SKIPPED"} and world.status == "FAILED"
    assert answer(world.workflow, world.pinned, "a", None, approved=False) is None
    assert "not now" in (world.workflow.history[1].detail or "")


def test_wrong_states_are_refused_with_what_is_allowed() -> None:
    world = World(step("a")).start()
    wrong = [
        lambda: start(world.workflow, world.pinned, {}, world.now),
        lambda: resume(world.workflow, world.pinned, None),
        lambda: retry(world.workflow, world.pinned, None),
        lambda: rerun(world.workflow, world.pinned, "a", {}, None),
    ]
    for each in wrong:
        with pytest.raises(Conflict) as refused:
            each()
        assert refused.value.current == "RUNNING" and refused.value.allowed
    with pytest.raises(NotFound):
        answer(world.workflow, world.pinned, "b", None, approved=True)
