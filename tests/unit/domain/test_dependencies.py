"""Every dependency type against every end of its parents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dependencies import RULES, End, Hopeless, Met, Verdict, Waits, decide, end_of, judge, why_broken
from app.domain.job import DependencyType
from app.domain.states import JobStatus
from app.domain.transitions import apply, fail_dependency
from tests.unit.domain.builders import a_job

T = DependencyType
ENDS = tuple(End)
WHAT = {Met: "runs", Waits: "waits", Hopeless: "fails"}
ALONE = {
    # what becomes of the child of one parent:   OPEN, COMPLETED, SKIPPED, FAILED, TIMEOUT, CANCELLED
    T.ALL_COMPLETE: ("waits", "runs", "fails", "fails", "fails", "fails"),
    T.ANY_COMPLETE: ("waits", "runs", "fails", "fails", "fails", "fails"),
    T.ALL_FINISHED: ("waits", "runs", "runs", "runs", "runs", "runs"),
    T.NONE_FAILED: ("waits", "runs", "runs", "fails", "fails", "fails"),
    T.ANY_FAILED: ("waits", "fails", "fails", "runs", "runs", "fails"),
}
BESIDE_AN_OPEN_ONE = {
    T.ALL_COMPLETE: ("waits", "waits", "fails", "fails", "fails", "fails"),
    T.ANY_COMPLETE: ("waits", "runs", "waits", "waits", "waits", "waits"),
    T.ALL_FINISHED: ("waits", "waits", "waits", "waits", "waits", "waits"),
    T.NONE_FAILED: ("waits", "waits", "waits", "fails", "fails", "fails"),
    T.ANY_FAILED: ("waits", "waits", "waits", "runs", "runs", "waits"),
}
CELLS = [(kind, end, n) for kind in T for n, end in enumerate(ENDS)]


def what(verdict: Verdict) -> str:
    return WHAT[type(verdict)]


@pytest.mark.parametrize(("kind", "end", "n"), CELLS)
def test_one_parent(kind: T, end: End, n: int) -> None:
    assert what(decide(kind, {"p": end})) == ALONE[kind][n]


@pytest.mark.parametrize(("kind", "end", "n"), CELLS)
def test_one_of_two_while_the_other_is_open(kind: T, end: End, n: int) -> None:
    for parents in ({"p": end, "q": End.OPEN}, {"q": End.OPEN, "p": end}):
        assert what(decide(kind, parents)) == BESIDE_AN_OPEN_ONE[kind][n]


def test_every_type_has_its_rule() -> None:
    assert set(RULES) == set(T)


@given(st.sampled_from(list(T)), st.lists(st.sampled_from(ENDS), max_size=6))
def test_the_order_of_the_parents_does_not_matter(kind: T, ends: list[End]) -> None:
    there = {str(n): end for n, end in enumerate(ends)}
    back = dict(reversed(there.items()))
    assert what(decide(kind, there)) == what(decide(kind, back))


@given(st.sampled_from(list(T)), st.lists(st.sampled_from(ENDS), min_size=1, max_size=6))
def test_a_verdict_that_is_no_wait_stands_however_the_open_ones_end(kind: T, ends: list[End]) -> None:
    """A child is released or ended once, and what comes later does not contradict it."""
    now = what(decide(kind, {str(n): end for n, end in enumerate(ends)}))
    for later in ENDS[1:]:
        then = what(decide(kind, {str(n): later if end is End.OPEN else end for n, end in enumerate(ends)}))
        assert then != "waits"
        assert now in {"waits", then}


@given(st.sampled_from(list(T)), st.lists(st.sampled_from(ENDS[1:]), max_size=6))
def test_when_all_have_ended_nobody_waits(kind: T, ends: list[End]) -> None:
    assert what(decide(kind, {str(n): end for n, end in enumerate(ends)})) != "waits"


def test_a_failed_parent_outweighs_a_skipped_one() -> None:
    verdict = decide(T.ALL_COMPLETE, {"a": End.SKIPPED, "b": End.OPEN, "c": End.FAILED, "d": End.CANCELLED})
    assert verdict == Hopeless("c", ("c", "d", "a"))


def test_what_waits_names_the_open_ones_in_their_order() -> None:
    assert decide(T.ALL_COMPLETE, {"b": End.OPEN, "a": End.COMPLETED, "c": End.OPEN}) == Waits(("b", "c"))


@pytest.mark.parametrize("status", list(JobStatus))
def test_each_state_of_a_job_is_one_of_a_parent(status: JobStatus) -> None:
    ended = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"}
    assert end_of(a_job().but(status=status).job) == (status.value if status in ended else "OPEN")


class TestJobs:
    def test_the_first_cause_is_handed_down_a_chain(self) -> None:
        first = a_job().failed().job
        middle = a_job(eligible=False, dependencies=(first.id,)).job
        last = a_job(eligible=False, dependencies=(middle.id,)).job
        verdict = judge(middle, {first.id: first})
        assert verdict == Hopeless(first.id, (first.id,))
        assert isinstance(verdict, Hopeless)
        middle = apply(middle, fail_dependency(middle, verdict.cause, a_job().stamp()))
        assert judge(last, {middle.id: middle}) == Hopeless(first.id, (middle.id,))

    def test_a_parent_that_is_gone_counts_as_cancelled(self) -> None:
        child = a_job(eligible=False, dependencies=("job_gone",)).job
        assert judge(child, {}) == Hopeless("job_gone", ("job_gone",))
        assert end_of(None) is End.CANCELLED

    @pytest.mark.parametrize("kind", list(T))
    def test_why_it_is_broken_names_cause_and_type(self, kind: T) -> None:
        said = why_broken(kind, "job_1")
        assert "job_1" in said and kind in said
