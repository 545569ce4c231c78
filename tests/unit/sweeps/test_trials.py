"""What a sweep does next, what early stopping says, and how trials are ranked."""

from __future__ import annotations

import pytest

from app.domain.sweeps.asha import EarlyStopping, goes_on
from app.domain.sweeps.ending import trial_end
from app.domain.sweeps.judging import judge
from app.domain.sweeps.ranking import best_of, best_point, ranked
from app.domain.sweeps.trials import Move, Over, next_move
from tests.unit.domain.builders import a_job
from tests.unit.sweeps.builders import a_sweep, a_trial, ended, points

LEARNING = {"strategy": "tpe"}
MOVES = {
    "nothing asked yet": ({}, [], Move(ask=4)),
    "as many as may run": ({}, [a_trial(n) for n in range(4)], Move(ask=0)),
    "one for each that ended": ({}, [ended(0, 0.5), ended(1), *(a_trial(n) for n in (2, 3))], Move(ask=2)),
    "no more than are left": ({"max_trials": 5}, [ended(n, 0.1) for n in range(4)], Move(ask=1)),
    "all asked": ({"max_trials": 2}, [a_trial(0), a_trial(1)], Move(over=Over.ALL_ASKED)),
    "all asked and ended": ({"max_trials": 2}, [ended(0, 1), ended(1, 1)], Move(over=Over.ALL_ASKED)),
    "one that learns waits for those that it learns from": (
        {**LEARNING, "lag": 4},
        [*(ended(n, 0.1) for n in range(8)), a_trial(8), *(ended(n, 0.1) for n in range(9, 11))],
        Move(ask=1),
    ),
    "and is not asked before": (
        {**LEARNING, "lag": 4},
        [*(ended(n, 0.1) for n in range(8)), a_trial(8), *(ended(n, 0.1) for n in range(9, 12))],
        Move(ask=0),
    ),
    "the first ten learn nothing": ({**LEARNING, "lag": 1}, [a_trial(0), ended(1, 0.1)], Move(ask=3)),
    "without a lag nobody waits": (
        LEARNING,
        [*(ended(n, 0.1) for n in range(8)), a_trial(8), *(ended(n, 0.1) for n in range(9, 12))],
        Move(ask=3),
    ),
    "a goal that is not reached": ({"goal": 0.9}, [ended(0, 0.89)], Move(ask=4)),
    "a goal": ({"goal": 0.9}, [a_trial(0), ended(1, 0.9)], Move(0, Over.GOAL_REACHED, "trial 1 reached 0.9")),
    "a goal from above": (
        {"goal": 0.1, "direction": "minimize"},
        [ended(0, 0.2), ended(1, 0.05)],
        Move(0, Over.GOAL_REACHED, "trial 1 reached 0.05"),
    ),
    "a goal of one that was pruned": (
        {"goal": 0.9},
        [ended(0, 0.95, outcome="pruned")],
        Move(0, Over.GOAL_REACHED, "trial 0 reached 0.95"),
    ),
}
DEAD = {"outcome": "failed", "fingerprint": "aa"}
FAILING = Move(0, Over.FAILING, "5 trials in a row failed alike, the last was trial 4")
ROWS = {
    "five alike": ([ended(n, **DEAD) for n in range(5)], FAILING),
    "four alike": ([ended(n, **DEAD) for n in range(4)], Move(ask=4)),
    "a success between": ([*(ended(n, **DEAD) for n in range(4)), ended(4, 0.1), ended(5, **DEAD)], Move(ask=4)),
    "another fault between": (
        [*(ended(n, **DEAD) for n in range(4)), ended(4, outcome="failed", fingerprint="bb")],
        Move(ask=4),
    ),
    "trials whose objective was never a number fail nothing": (
        [ended(n, told=("accuracy",)) for n in range(9)],
        Move(ask=4),
    ),
    "a user's cancel says nothing": (
        [*(ended(n, **DEAD) for n in range(3)), ended(3, outcome="cancelled"), *(ended(n, **DEAD) for n in (4, 5))],
        Move(0, Over.FAILING, "5 trials in a row failed alike, the last was trial 5"),
    ),
    "in the order of their ends, not of their numbers": (
        [ended(0, 0.1, after=1), *(ended(n, **DEAD) for n in range(1, 5)), ended(5, **DEAD)],
        Move(0, Over.FAILING, "5 trials in a row failed alike, the last was trial 5"),
    ),
}


MISSING = "none of the first 5 trials that completed told accuracy; they told f1, loss"
WITHOUT = {
    "five without it": ({}, [ended(n, told=("loss", "f1")) for n in range(5)], MISSING),
    "what any of them told": ({}, [ended(n, told=("loss",) if n else ("f1",)) for n in range(5)], MISSING),
    "four without it": ({}, [ended(n) for n in range(4)], None),
    "one of the first with it": ({}, [ended(n, 0.1 if n == 3 else None) for n in range(9)], None),
    "one of the first with NaN": ({}, [ended(n, told=("accuracy",) if n == 3 else ()) for n in range(9)], None),
    "one with it, later": ({}, [ended(n, 0.1 if n == 5 else None, told=("f1", "loss")) for n in range(6)], MISSING),
    "those that failed count for nothing": (
        {},
        [*(ended(n, outcome="failed", fingerprint=str(n)) for n in range(9)), *(ended(n) for n in range(9, 13))],
        None,
    ),
    "all of few": (
        {"max_trials": 2},
        [ended(0), ended(1)],
        "none of the first 2 trials that completed told accuracy; they told no metric at all",
    ),
    "not all of few": ({"max_trials": 3}, [ended(0), ended(1), a_trial(2)], None),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_an_objective_that_nobody_tells_stops_it(case: str) -> None:
    asked, trials, want = WITHOUT[case]
    move = next_move(a_sweep(**asked), trials)
    assert (move.over is Over.NO_OBJECTIVE, move.stops, move.detail) == (want is not None, want is not None, want)


def test_the_reason_stays_short_whatever_trials_tell() -> None:
    names = tuple("m" * 100 + str(n) for n in range(20))
    detail = next_move(a_sweep(), [ended(n, told=names) for n in range(5)]).detail
    assert detail is not None and len(detail) == 400


@pytest.mark.parametrize("case", MOVES)
def test_next_move(case: str) -> None:
    asked, trials, want = MOVES[case]
    assert next_move(a_sweep(**asked), trials) == want


@pytest.mark.parametrize("case", ROWS)
def test_failures_in_a_row(case: str) -> None:
    trials, want = ROWS[case]
    assert next_move(a_sweep(), trials) == want


KEPT = {
    "the first": (0.1, [], True),
    "fewer than eta": (0.1, [0.9], True),
    "the best of three": (0.9, [0.1, 0.2], True),
    "the second of three": (0.5, [0.9, 0.2], False),
    "the second of four": (0.5, [0.9, 0.2, 0.1], True),
    "the third of four": (0.15, [0.9, 0.2, 0.1], False),
    "a tie goes on": (0.9, [0.9, 0.9], True),
    "a tie of the second": (0.5, [0.9, 0.5], False),
}


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("maximize", [True, False])
def test_who_goes_on(case: str, maximize: bool) -> None:
    value, others, want = KEPT[case]
    sign = 1 if maximize else -1
    assert goes_on(sign * value, [sign * o for o in others], 3, maximize=maximize) is want


def test_rungs_grow_by_eta() -> None:
    assert list(EarlyStopping(3, 2).rungs(60)) == [2, 6, 18, 54]
    assert list(EarlyStopping(3, 5).rungs(4)) == []


def test_trials_are_judged_at_each_rung_in_the_order_of_arrival() -> None:
    """Trial 2 is the worst of the first rung, and comes last; trial 1 is stopped at the second."""
    trials = [a_trial(n) for n in range(3)]
    series = {
        0: points([(1, 0.5), (2, 0.6), (3, 0.7)]),
        1: points([(1, 0.4), (3, 0.6)], start=0.5),
        2: points([(1, 0.1)], start=9),
    }
    judged = judge(EarlyStopping(3, 1), trials, series, maximize=True)
    assert [(t.number, t.rungs, t.stopped_at) for t in judged] == [
        (0, {1: 0.5, 3: 0.7}, None),
        (1, {1: 0.4, 3: 0.6}, None),
        (2, {1: 0.1}, 1),
    ]


def test_what_was_recorded_is_judged_no_more() -> None:
    stopping = EarlyStopping(2, 1)
    series = {0: points([(1, 0.9)]), 1: points([(1, 0.1), (2, 0.2)], start=5)}
    first = judge(stopping, [a_trial(0), a_trial(1)], series, maximize=True)
    assert [t.stopped_at for t in first] == [None, 1]
    assert judge(stopping, first, series, maximize=True) == []


def test_a_rung_is_reached_by_the_first_value_at_or_beyond_it() -> None:
    [trial] = judge(EarlyStopping(3, 3), [a_trial(0)], {0: points([(2, 0.1), (4, 0.4), (5, 0.9)])}, maximize=True)
    assert trial.rungs == {3: 0.4}


def test_one_that_has_ended_counts_at_its_rungs_and_is_not_stopped() -> None:
    trials = [a_trial(0, rungs={1: 0.9}), a_trial(1, rungs={1: 0.8}), ended(2, 0.1)]
    [judged] = judge(EarlyStopping(3, 1), trials, {2: points([(1, 0.1)])}, maximize=True)
    assert (judged.rungs, judged.stopped_at) == ({1: 0.1}, None)


NAN = float("nan")
VALUES = {
    "the best of its steps": ([(1, 0.5), (2, 0.9), (3, 0.7)], {}, (0.9, 2)),
    "the last value of a step": ([(1, 0.5), (1, 0.4)], {}, (0.4, 1)),
    "without steps the last": ([(None, 0.9), (None, 0.4)], {}, (0.4, None)),
    "a final score beside its epochs": ([(1, 0.5), (2, 0.8), (None, 0.85)], {}, (0.85, None)),
    "no number": ([(1, NAN)], {}, None),
    "a number among others": ([(1, NAN), (2, 0.1)], {}, (0.1, 2)),
    "only an output": ([], {"accuracy": 1}, (1.0, None)),
    "a metric before an output": ([(1, 0.5)], {"accuracy": 0.9}, (0.5, 1)),
    "an output that is no number": ([], {"accuracy": "high"}, None),
    "an output of NaN": ([], {"accuracy": NAN}, None),
    "true is no number": ([], {"accuracy": True}, None),
    "nothing": ([], {}, None),
}


@pytest.mark.parametrize("case", VALUES)
def test_the_value_of_a_trial(case: str) -> None:
    told, outputs, want = VALUES[case]
    assert best_point(a_sweep(), points(told), outputs) == want


TOLD = {
    "other metrics and outputs": (
        {"metrics": {"loss": 1.0}, "steps": {"s": {"f1": 0.5, "model": "m", "ok": True}}},
        ("f1", "loss"),
    ),
    "others as NaN": ({"metrics": {}, "steps": {}, "not_finite": ["loss"]}, ("loss",)),
    "the objective as NaN": ({"metrics": {"loss": 1.0}, "steps": {}, "not_finite": ["accuracy"]}, ("accuracy",)),
    "the objective as text": ({"metrics": {"loss": 1.0}, "steps": {"s": {"accuracy": "high"}}}, ("accuracy",)),
    "the objective": ({"metrics": {"accuracy": 0.5, "loss": 1.0}, "steps": {}}, ()),
    "many": ({"metrics": {f"m{n:02}": n for n in range(50)}, "steps": {}}, tuple(f"m{n:02}" for n in range(20))),
    "no result": (None, ()),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_a_trial_told_instead_of_the_objective(case: str) -> None:
    result, want = TOLD[case]
    job = a_job().completed(result=result).job
    assert trial_end(a_sweep(), a_trial(0), job, []).told == want


def test_the_best_comes_first_ties_by_cost_then_by_id_and_without_a_value_last() -> None:
    trials = [
        ended(0, outcome="failed"),
        ended(1, 0.5, cluster_seconds=9),
        a_trial(2),
        ended(3, 0.5, cluster_seconds=4),
        ended(4, 0.9, outcome="pruned", cluster_seconds=99),
        ended(5, 0.5, cluster_seconds=4),
        ended(6),
    ]
    assert [t.number for t in ranked(a_sweep(), trials)] == [4, 3, 5, 1, 2, 0, 6]
    best = best_of(a_sweep(direction="minimize"), trials)
    assert best is not None and best.number == 3
    assert best_of(a_sweep(), [ended(0, outcome="failed"), a_trial(1)]) is None
