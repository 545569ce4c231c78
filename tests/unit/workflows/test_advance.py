"""What follows from what has ended: joins, skips, conditions, fan-outs, approvals, the end of the whole."""

from __future__ import annotations

import pytest

from app.domain.expressions import Fault
from app.domain.workflows.advance import Ended, Facts
from app.domain.workflows.changes import Draft
from app.domain.workflows.controls import overdue
from app.domain.workflows.definition import Approval
from app.domain.workflows.state import JobRef, StepStatus
from tests.unit.workflows.builders import World, step


def test_a_chain_runs_step_by_step() -> None:
    world = World(step("a"), step("b", "a"), step("c", "b")).start()
    assert world.released == [JobRef("a", None, 0)]
    assert world.end(("a", "COMPLETED")) == [JobRef("b", None, 0)]
    assert world.end(("b", "COMPLETED")) == [JobRef("c", None, 0)]
    assert world.status == "RUNNING"
    world.end(("c", "COMPLETED"))
    assert world.status == "COMPLETED"
    assert [e.reason for e in world.workflow.history] == ["started", "completed"]


def test_an_end_that_is_told_twice_counts_once() -> None:
    world = World(step("a"), step("b", "a")).start()
    ended = Ended(JobRef("a", None, 0), StepStatus.COMPLETED)
    assert world.make(Draft(world.workflow, ended=(ended, ended))) == [JobRef("b", None, 0)]
    assert world.make(Draft(world.workflow, ended=(ended,))) == []
    assert world.workflow.counts == {"COMPLETED": 1, "ACTIVE": 1}


def test_an_end_of_another_run_means_nothing() -> None:
    world = World(step("a")).start()
    world.make(Draft(world.workflow, ended=(Ended(JobRef("a", None, 7), StepStatus.COMPLETED),)))
    assert world.states == {"a": "ACTIVE"}


def test_a_diamond_releases_its_join_once() -> None:
    world = World(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")).start()
    world.end(("a", "COMPLETED"))
    assert world.end(("b", "COMPLETED"), ("c", "COMPLETED")) == [JobRef("d", None, 0)]


SKIPS = (
    ("all_complete", "FAILED", "SKIPPED", "upstream_failed"),
    ("all_complete", "CANCELLED", "SKIPPED", "upstream_failed"),
    ("any_complete", "TIMEOUT", "SKIPPED", "upstream_failed"),
    ("none_failed", "FAILED", "SKIPPED", "upstream_failed"),
    ("any_failed", "COMPLETED", "SKIPPED", "no_failure"),
    ("any_failed", "CANCELLED", "SKIPPED", "no_failure"),
    ("any_failed", "FAILED", "ACTIVE", None),
    ("all_finished", "FAILED", "ACTIVE", None),
)


@pytest.mark.parametrize(("kind", "end", "want", "because"), SKIPS)
def test_a_step_is_skipped_with_the_reason(kind: str, end: str, want: str, because: str | None) -> None:
    world = World(step("a"), step("b", "a", dependency_type=kind), step("c", "b")).start()
    world.end(("a", end))
    assert world.states["b"] == want
    assert world.reasons.get("b") == because
    assert world.reasons.get("c") == ("upstream_skipped" if because else None)


@pytest.mark.parametrize(
    ("kind", "want"),
    [("all_complete", "SKIPPED"), ("any_complete", "SKIPPED"), ("all_finished", "ACTIVE"), ("none_failed", "ACTIVE")],
)
def test_a_join_of_skipped_steps(kind: str, want: str) -> None:
    no = {"a": Facts(when=False)}
    world = World(step("a", when="false"), step("b", "a", dependency_type=kind), facts=no).start()
    assert world.states == {"a": "SKIPPED", "b": want}
    assert world.reasons["a"] == "condition_false"
    assert world.reasons.get("b") == (None if want == "ACTIVE" else "upstream_skipped")


@pytest.mark.parametrize("failed_first", [True, False])
def test_a_failed_parent_outweighs_a_skipped_one_in_any_order(failed_first: bool) -> None:
    no = {"s": Facts(when=False)}
    world = World(step("g"), step("f"), step("s", "g", when="x"), step("j", "f", "s"), facts=no).start()
    ends = [("f", "FAILED"), ("g", "COMPLETED")]
    for end in ends if failed_first else reversed(ends):
        world.end(end)
    assert world.reasons["j"] == "upstream_failed"


def test_what_can_still_run_runs_then_the_workflow_fails() -> None:
    world = World(step("a"), step("b"), step("c", "b"), step("d", "a")).start()
    world.end(("a", "FAILED"))
    assert world.end(("b", "COMPLETED")) == [JobRef("c", None, 0)]
    assert world.status == "RUNNING"
    world.end(("c", "COMPLETED"))
    assert world.status == "FAILED"
    assert world.workflow.history[-1].detail == "step a ended FAILED", "it is named"


def test_a_failure_to_be_passed_over_is_not_held_against_the_workflow() -> None:
    world = World(step("a", on_failure="continue"), step("b", "a", dependency_type="all_finished")).start()
    world.end(("a", "FAILED"))
    world.end(("b", "COMPLETED"))
    assert world.status == "COMPLETED"


@pytest.mark.parametrize(
    ("end", "clean", "status"), [("FAILED", "ACTIVE", "FAILED"), ("COMPLETED", "SKIPPED", "COMPLETED")]
)
def test_the_step_for_a_failure_runs_only_then(end: str, clean: str, status: str) -> None:
    world = World(step("a", on_failure="clean"), step("clean")).start()
    assert world.states["clean"] == "PENDING"
    world.end(("a", end))
    assert world.states["clean"] == clean
    world.run(lambda _: "COMPLETED")
    assert world.status == status


def test_a_condition_is_asked_for_only_when_the_parents_allow_it() -> None:
    world = World(step("a"), step("b", "a", when="x")).start()
    assert world.asked == []
    world.end(("a", "COMPLETED"))
    assert world.asked == ["b"]


def test_a_condition_that_cannot_be_evaluated_fails_its_step() -> None:
    world = World(step("a", when="x"), facts={"a": Facts(when=Fault("no such key"))}).start()
    assert world.states == {"a": "FAILED"}
    assert world.workflow.step("a").error is not None
    assert world.status == "FAILED"


def test_a_fan_out_keeps_to_its_width_and_ends_when_all_have() -> None:
    world = World(step("f", for_each=("x", "y", "z"), max_parallel=2), step("j", "f")).start()
    assert world.open == [JobRef("f", 0, 0), JobRef("f", 1, 0)]
    assert world.end(("f", "COMPLETED"), item=1) == [JobRef("f", 2, 0)]
    world.end(("f", "COMPLETED"), item=0)
    assert world.states == {"f": "ACTIVE", "j": "PENDING"}
    assert world.end(("f", "COMPLETED"), item=2) == [JobRef("j", None, 0)]


def test_a_failed_item_fails_the_step_when_all_have_ended() -> None:
    world = World(step("f", for_each=("x", "y", "z"), max_parallel=1), step("j", "f")).start()
    assert world.end(("f", "FAILED"), item=0) == [JobRef("f", 1, 0)]
    world.run(lambda _: "COMPLETED")
    assert world.states == {"f": "FAILED", "j": "SKIPPED"}


def test_a_fan_out_over_nothing_completes_at_once() -> None:
    world = World(step("f", for_each="${{ inputs.l }}"), step("j", "f"), facts={"f": Facts(items=0)}).start()
    assert world.states == {"f": "COMPLETED", "j": "ACTIVE"}


@pytest.mark.parametrize(("items", "code"), [(10_001, "too_many_items"), (Fault("no list"), "bad_for_each")])
def test_a_fan_out_that_cannot_be_fails(items: int | Fault, code: str) -> None:
    world = World(step("f", for_each="${{ inputs.l }}"), facts={"f": Facts(items=items)}).start()
    error = world.workflow.step("f").error
    assert error is not None and error.code == code


@pytest.mark.parametrize(("default", "want"), [("approve", "ACTIVE"), ("reject", "REJECTED")])
def test_an_approval_expires_to_its_default(default: str, want: str) -> None:
    world = World(step("a", approval=Approval("sure?", 60, default)), step("b", "a")).start()
    assert world.states["a"] == "AWAITING_APPROVAL"
    assert world.workflow.approve_by is not None
    assert world.make(overdue(world.workflow, world.pinned, world.later(59))) == []
    world.make(overdue(world.workflow, world.pinned, world.later(1)))
    assert world.states["a"] == want
    assert world.workflow.approve_by is None
    assert world.reasons.get("b") == (None if default == "approve" else "upstream_failed")
