"""The simulator itself: it lets nobody cheat, and counts what was promised and what was kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.queueing import ROOM, Resolution
from app.domain.resources import Vector
from app.scheduler.rules import Rules
from bench.sim.arrivals import trace_of
from bench.sim.baselines import baselines
from bench.sim.engine import Start, Stuck, simulate
from bench.sim.index import Index
from bench.sim.jobs import HOUR, MINUTE, SimJob, Trace, a_job, misjudged, some_nodes
from bench.sim.known import EXACT, WHOLE, InOrder, identical, kind, overrunning
from bench.sim.ledger import Ledger, LedgerError
from bench.sim.metrics import jain, measure, starvation
from bench.sim.ours import Ours
from bench.sim.scenarios import ANNOUNCING, FRESH, OURS, Outcome, Task, policy_of, run
from bench.sim.stats import interval, ratios
from bench.sim.targets import Table, rows
from bench.sim.workloads.own import own


def a_ledger() -> Ledger:
    return Ledger(some_nodes(1))


def a_sim_job(job_id: str = "j", vector: Vector = EXACT, submitted: int = 0) -> SimJob:
    return a_job(job_id, submitted, kind(vector, 600.0), 600.0)


class TestTheLedger:
    def test_refuses_more_than_a_node_has(self) -> None:
        ledger = a_ledger()
        ledger.start(a_sim_job("a", WHOLE), "n0000", tuple(range(8)), 0)

        with pytest.raises(LedgerError, match="needs"):
            ledger.start(a_sim_job("b"), "n0000", (0,), 0)

    @pytest.mark.parametrize("gpus", [(), (0,), (8,), (1, 2)])
    def test_refuses_gpus_that_are_not_free_or_not_as_many(self, gpus: tuple[int, ...]) -> None:
        ledger = a_ledger()
        ledger.start(a_sim_job("a"), "n0000", (0,), 0)

        with pytest.raises(LedgerError, match="was given"):
            ledger.start(a_sim_job("b"), "n0000", gpus, 0)

    def test_refuses_to_start_a_job_twice(self) -> None:
        ledger = a_ledger()
        ledger.start(a_sim_job("a"), "n0000", (0,), 0)

        with pytest.raises(LedgerError, match="already"):
            ledger.start(a_sim_job("a"), "n0000", (1,), 0)

    def test_has_all_back_when_a_run_ends(self) -> None:
        ledger = a_ledger()
        ledger.start(a_sim_job("a"), "n0000", (3,), 0)
        ledger.end("a")

        assert ledger.free() == WHOLE
        assert ledger.nodes["n0000"].free_gpus == tuple(range(8))


class Greedy(InOrder):
    """Gives every job the first node, whatever is there."""

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        return [Start(j, "n0000", tuple(range(j.vector.gpu))) for j in self._waiting.values()], False


class Idle(InOrder):
    """Starts nothing."""

    def decide(self, ledger: Ledger, now: int) -> tuple[list[Start], bool]:
        return [], False


def test_a_policy_that_gives_what_is_not_there_ends_the_simulation() -> None:
    with pytest.raises(LedgerError):
        simulate(identical(2, 1), Greedy((), stop=False))


def test_a_policy_that_starts_nothing_is_told_so() -> None:
    with pytest.raises(Stuck, match="2 jobs never start"):
        simulate(identical(2, 1), Idle((), stop=False))


DAY = trace_of(own(4, classes=True, tenants=("a", "b")), 7, 1.1, 6.0)


@pytest.mark.parametrize("policy", [*baselines(), OURS, ANNOUNCING, FRESH])
def test_every_policy_starts_every_job_once_and_not_before_it_came(policy: str) -> None:
    history = simulate(DAY, policy_of(policy))

    assert history.starts.keys() == {j.id for j in DAY.jobs}
    assert all(history.wait(j) >= 0 for j in DAY.jobs)


def test_a_blocked_head_blocks_all_under_fifo_and_none_under_best_effort() -> None:
    jobs = (a_sim_job("a"), a_sim_job("big", WHOLE, 1), a_sim_job("c", EXACT, 2))
    trace = Trace("three", some_nodes(1), jobs)

    assert simulate(trace, baselines()["fifo"]()).starts["c"] == 20 * MINUTE
    assert simulate(trace, baselines()["best-effort"]()).starts["c"] == 2


def test_easy_lets_pass_who_ends_before_the_reservation_only() -> None:
    first, big = a_sim_job("a"), a_sim_job("big", WHOLE, 1)
    short, long = (replace(a_sim_job(i, EXACT, 2), takes=t, hard=t) for i, t in (("s", 5 * MINUTE), ("l", HOUR)))
    starts = simulate(Trace("pass", some_nodes(1), (first, big, short, long)), baselines()["easy"]()).starts

    assert starts["s"] == 2
    assert starts["big"] < starts["l"]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["right", "÷5", "×5", "random"]), st.sampled_from([0.9, 1.3]))
def test_no_promise_is_broken_or_forgotten_whatever_is_expected(seed: int, error: str, load: float) -> None:
    trace = misjudged(trace_of(own(3, classes=True), seed, load, 3.0), error, seed)
    policy = Ours()
    history = simulate(trace, policy)

    assert history.broken == []
    assert all(share <= 1.0 for share in starvation(history)) or error != "right"


@pytest.mark.parametrize("slack", [0, 30 * MINUTE])
@pytest.mark.parametrize("seed", range(8))
def test_promises_hold_where_every_expectation_is_far_too_short(seed: int, slack: int) -> None:
    history = simulate(overrunning(seed), Ours(Rules(slack=slack)))

    assert history.promised > 10
    assert history.broken == []


def test_a_promise_that_is_not_kept_is_counted() -> None:
    class Forgetful(Ours):
        def snapshot(self, ledger: Ledger, now: int):  # type: ignore[no-untyped-def]
            return replace(super().snapshot(ledger, now), promises=())

    trace = trace_of(own(3), 1, 1.2, 6.0)

    assert simulate(trace, Forgetful()).broken != []


def test_the_rules_of_a_simulation_are_the_planners() -> None:
    trace = trace_of(own(3), 1, 1.2, 6.0)

    assert simulate(trace, Ours(Rules(reservations=0))).promised < simulate(trace, Ours()).promised


class TestTheIndex:
    def test_has_as_many_buckets_as_is_allowed_and_every_job_in_one(self) -> None:
        index = Index()
        jobs = [a_sim_job(f"j{n:04}", Vector(1_000 + 37 * n, 512 + 91 * n, 0, 0)) for n in range(600)]
        for job in jobs:
            index.add(job)
        members = sorted(job_id for line in index.lines.values() for _, job_id in line.order)

        assert len(index.lines) <= ROOM[Resolution.OCTAVE] + 1
        assert members == [j.id for j in jobs]

    def test_shows_all_of_a_mixed_bucket_in_turn_and_its_first_always(self) -> None:
        index = Index()
        for n in range(600):
            index.add(a_sim_job(f"j{n:04}", Vector(1_000 + 977 * n, 512 + 8_191 * n, n % 9, 0), n))
        mixed = next(line for line in index.lines.values() if line.bucket.resolution is Resolution.MIXED)
        seen = [index.more({mixed.id: 64})[mixed.id] for _ in range(len(mixed.order) // 63 + 1)]

        assert {m.job_id for window in seen for m in window} == {job_id for _, job_id in mixed.order}
        assert {window[0].job_id for window in seen} == {mixed.order[0][1]}

    def test_is_empty_when_all_have_gone(self) -> None:
        index = Index()
        for n in range(5):
            index.add(a_sim_job(f"j{n}", EXACT, n))
        for n in (3, 0, 4, 1, 2):
            index.remove(f"j{n}")

        assert (len(index), index.lines, index.overdue(10 * HOUR, 9)) == (0, {}, ())

    def test_tells_the_overdue_first_due_first(self) -> None:
        index = Index()
        for n in (2, 0, 1):
            index.add(a_sim_job(f"j{n}", EXACT, n * HOUR))

        assert [w.member.job_id for w in index.overdue(3 * HOUR, 9)] == ["j0", "j1"]
        assert [w.member.job_id for w in index.overdue(3 * HOUR, 1)] == ["j0"]


class TestTheFigures:
    def test_of_identical_jobs_are_those_that_one_counts_by_hand(self) -> None:
        found = measure(simulate(identical(4, 2, 600.0), Ours()))

        assert (found.mean, found.most, found.whole_nodes, found.makespan) == (5.0, 10.0, 5.0, 20.0)
        assert found.slowdown == pytest.approx(1.5)

    def test_jain_is_one_for_equals_and_one_over_n_for_one_who_has_all(self) -> None:
        assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
        assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)

    def test_an_interval_holds_its_median(self) -> None:
        found = interval([1.0, 2.0, 3.0, 4.0, 100.0])

        assert found.low <= found.value == 3.0 <= found.high

    def test_nobody_waited_on_either_side_is_a_ratio_of_one(self) -> None:
        assert ratios([0.0, 1.0], [0.0, 2.0]) == [1.0, 0.5]


def test_announcing_changes_no_decision_and_is_scored_once_a_job() -> None:
    silent, told, fresh = (simulate(DAY, policy_of(name)) for name in (OURS, ANNOUNCING, FRESH))

    assert silent.starts == told.starts == fresh.starts
    assert told.calibration is not None and fresh.calibration is not None
    assert sum(told.calibration.tally.results.values()) == len(DAY.jobs)
    assert (fresh.calibration.tally.pinball_ratio or 0) < (told.calibration.tally.pinball_ratio or 0)


def test_what_was_not_simulated_is_said_in_words() -> None:
    tasks = [Task("own", load, 1, policy, 2.0) for load in (0.9, 1.0) for policy in ("fifo", "ours")]
    outcomes = [Outcome.from_plain(run(task).plain()) for task in tasks]
    found = {row.target: row for row in rows(Table(outcomes))}

    assert found["mean wait against FIFO"].met is not None
    assert found["promise violations"].met
    silent = found["bounded slowdown against EASY with timeouts"]
    assert (silent.reached, silent.met, silent.why) == (None, None, "not simulated in this run")
