"""What would have a job start sooner."""

from __future__ import annotations

import pytest

from app.domain.priority import SECOND, Priority
from app.domain.records import BucketHead, Waiting
from app.domain.what_if import NodeKind
from app.scheduler.counterfactuals import counterfactuals, next_class, run_that_frees_most
from app.scheduler.profile import Live
from app.scheduler.reduction import is_small
from app.scheduler.snapshot import Snapshot
from tests.unit.scheduler.builders import a_head, a_node, a_snapshot, an_allocation, vector

NOW = 500 * SECOND
HOUR = 3_600 * SECOND


def waiting_in(head: BucketHead, n: int = 0) -> Waiting:
    return Waiting(head.bucket_id, head.bucket, head.members[n])


def lives(*hours: float) -> dict:
    return {
        (f"r{n}", 1): Live(
            f"r{n}",
            1,
            "default",
            Priority.NORMAL,
            NOW - HOUR,
            NOW + round(h * HOUR),
            NOW + 9 * HOUR,
            NOW + round(h * HOUR),
        )
        for n, h in enumerate(hours)
    }


def words(snapshot: Snapshot, waiting: Waiting, **more: object) -> list[str]:
    return [c.change for c in counterfactuals(snapshot, waiting, {}, **more)]  # type: ignore[arg-type]


def a_busy_world(*heads: BucketHead) -> Snapshot:
    """Two nodes: one full for an hour, one with 2 cores and 8 GB free for three."""
    nodes = [
        a_node("n1", held=(an_allocation("r0", vector(8, 32)),)),
        a_node("n2", held=(an_allocation("r1", vector(6, 24)),)),
    ]
    return a_snapshot(nodes, list(heads), now=NOW, live=lives(1, 3))


def test_less_memory_another_node_and_the_end_of_a_run_help_a_job_that_lacks_memory() -> None:
    head = a_head("a", of=vector(2, 12), mean=HOUR)

    found = counterfactuals(a_busy_world(head), waiting_in(head), {"big": NodeKind(vector(16, 64))})

    assert [c.change for c in found] == ["memory_gb 6 instead of 12", "one more node big", "the end of r0 on n1"]
    assert all(c.starts_at is not None for c in found)


def test_what_runs_like_it_have_needed_is_tried_in_place_of_half_the_memory() -> None:
    head = a_head("a", of=vector(2, 12), mean=HOUR)
    world = a_busy_world(head)

    [first, *_] = words(world, waiting_in(head), learned=vector(1, 4))
    assert first == "cpu_cores 1 instead of 2, memory_gb 4 instead of 12"
    for no_help in (vector(1, 16), vector(2, 12), None):
        assert words(world, waiting_in(head), learned=no_help)[0] == "memory_gb 6 instead of 12"


def test_order_helps_one_that_stands_behind_others() -> None:
    first = a_head("a", "b", "c", of=vector(8), priority=Priority.NORMAL, mean=HOUR)
    last = a_head("z", of=vector(7), keys=(9.0,), mean=HOUR)

    found = words(a_busy_world(first, last), waiting_in(last))

    assert found[:2] == ["priority high", "position 1 of its class"]


def test_nothing_is_told_to_one_that_starts_at_once_or_while_the_queue_stands_still() -> None:
    head = a_head("a", of=vector(1, 1))
    assert words(a_busy_world(head), waiting_in(head)) == []

    head = a_head("a", of=vector(8))
    snapshot = a_busy_world(head)
    assert words(snapshot, waiting_in(head)) != []
    assert (
        words(
            a_snapshot(list(snapshot.nodes), [head], now=NOW, live=dict(snapshot.live), paused=True), waiting_in(head)
        )
        == []
    )


def test_without_a_node_that_could_hold_it_one_that_could_is_named() -> None:
    head = a_head("a", of=vector(99, 1), selector={"zone": "x"})

    assert words(a_busy_world(head), waiting_in(head)) == ["one more node with cpu_cores 99, memory_gb 1 and zone=x"]


def test_a_gpu_fewer_helps_where_one_is_missing() -> None:
    node = a_node("n1", vector(8, 32, 4), held=(an_allocation("r0", vector(1, 1, 3), (0, 1, 2)),))
    head = a_head("a", of=vector(1, 1, 2))

    assert "gpu_count 1 instead of 2" in words(a_snapshot([node], [head], now=NOW, live=lives(2)), waiting_in(head))


def test_no_change_is_begun_beyond_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.scheduler.counterfactuals.BUDGET", 0.05)
    head = a_head("a", of=vector(8))
    spent = iter([0.0, 0.06, 0.07])

    assert len(words(a_busy_world(head), waiting_in(head), elapsed=lambda: next(spent))) <= 1


def test_the_run_that_frees_most_is_one_after_which_it_fits() -> None:
    head = a_head("a", of=vector(5, 5))

    assert run_that_frees_most(a_busy_world(head), head.members[0].demand) == ("r0", "n1")
    assert next_class(Priority.URGENT) is None


def test_a_large_snapshot_is_made_small_and_says_alike() -> None:
    """300 kinds of jobs on 40 full nodes: what helps is found without a pass over all of it."""
    nodes = [a_node(f"n{n:02}", held=(an_allocation(f"r{n}", vector(8, 32)),)) for n in range(40)]
    live = lives(*[1 + n / 10 for n in range(40)])
    heads = [a_head(f"j{n:03}", of=vector(1 + n % 8, 1 + n / 20), keys=(float(n),), mean=HOUR) for n in range(300)]
    last = a_head("z", of=vector(8, 31), keys=(999.0,), mean=HOUR)
    snapshot = a_snapshot(nodes, [*heads, last], now=NOW, live=live)
    assert not is_small(snapshot)

    found = counterfactuals(snapshot, waiting_in(last), {})

    by_words = {c.change: c for c in found}
    assert set(by_words) >= {"priority high", "position 1 of its class"}
    assert by_words["priority high"].position == 1
    assert "one more node like n00" not in by_words, "300 others would take it"
