"""The table of edges, and what is derived from it."""

from pathlib import Path

import pytest

from app.domain.states import (
    ALLOWED,
    EDGES,
    STATE_KEEPING,
    TERMINAL,
    Edge,
    JobStatus,
    allowed_from,
    as_markdown,
    is_allowed,
)

S = JobStatus


def test_there_are_ten_states_and_four_are_terminal() -> None:
    assert len(JobStatus) == 10
    assert {S.COMPLETED, S.FAILED, S.CANCELLED, S.TIMEOUT} == TERMINAL


def test_no_edge_stands_twice() -> None:
    assert len(EDGES) == len(ALLOWED)


@pytest.mark.parametrize(
    ("edge", "want"),
    [
        (Edge(S.SUBMITTED, "eligible", S.QUEUED), True),
        (Edge(S.QUEUED, "placed", S.SCHEDULED), True),
        (Edge(S.RUNNING, "checkpointed", S.QUEUED), True),
        (Edge(S.PAUSED, "released", S.PAUSED), True),
        (Edge(S.FAILED, "manual_retry_not_eligible", S.SUBMITTED), True),
        (Edge(S.COMPLETED, "manual_retry", S.QUEUED), False),
        (Edge(S.QUEUED, "started", S.RUNNING), False),
        (Edge(S.RUNNING, "placed", S.SCHEDULED), False),
        (Edge(S.SUBMITTED, "placed", S.SCHEDULED), False),
        (Edge(S.RUNNING, "control_requested", S.RUNNING), True),
        (Edge(S.COMPLETED, "priority_changed", S.COMPLETED), False),
    ],
)
def test_edges(edge: Edge, want: bool) -> None:
    assert is_allowed(edge) is want


def test_every_state_is_reached_and_every_live_state_can_end() -> None:
    targets = {e.target for e in EDGES}
    assert targets == set(JobStatus)
    for status in set(JobStatus) - TERMINAL:
        assert TERMINAL & _reachable(status)


def _reachable(status: JobStatus) -> set[JobStatus]:
    seen, todo = {status}, [status]
    while todo:
        for following in allowed_from(todo.pop()):
            if following not in seen:
                seen.add(following)
                todo.append(following)
    return seen


def test_completed_is_final() -> None:
    assert allowed_from(S.COMPLETED) == ()


def test_the_page_holds_every_edge_and_is_the_committed_one() -> None:
    page = as_markdown()
    for edge in EDGES:
        assert f"| {edge.source or '(new)'} | `{edge.reason}` | {edge.target} |" in page
    for reason in STATE_KEEPING:
        assert f"`{reason}`" in page
    committed = Path(__file__).parents[3] / "docs" / "state_machine.md"
    assert committed.read_text() == page, "run `make docs`"
