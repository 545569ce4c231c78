"""From what was asked to a sweep: defaults, and refusals by where they were said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.domain.builtin_templates import builtin_templates
from app.domain.errors import Invalid
from app.domain.layers import derive
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.resources import Vector
from app.domain.specification import JobRequest, specify
from app.domain.sweeps.asked import SweepRequest, at_fault, checked_space, define, first_values, room_for
from app.domain.sweeps.checks import nested
from app.domain.sweeps.definition import Definition
from app.domain.sweeps.space import Dimension
from app.domain.sweeps.sweep import Direction, Strategy
from app.domain.templates import TemplateDraft
from tests.unit.domain.builders import POLICY
from tests.unit.sweeps.builders import choice, log, number, when, whole

TUNING = builtin_templates()["hyperparameter_tuning"]


def an_ask(*space: Dimension, **more: Any) -> SweepRequest:
    parameters = more.pop("parameters", {"algorithm": "svm"})
    request = JobRequest(more.pop("template", "hyperparameter_tuning"), parameters)
    strategy, direction = Strategy(more.pop("strategy", "random")), Direction(more.pop("direction", "maximize"))
    asked: dict[str, Any] = {"objective": "accuracy", "max_trials": 4, **more}
    return SweepRequest(request, space, strategy, direction=direction, **asked)


def defined(asked: SweepRequest, room: int = 4) -> Definition:
    """As the operation does it, without a store."""
    template = builtin_templates()[asked.request.template]
    space = checked_space(asked)
    request = replace(asked.request, parameters={**asked.request.parameters, **nested(first_values(space))})
    try:
        trial = specify(request, template, POLICY)
    except Invalid as invalid:
        raise at_fault(invalid, space) from None
    return define(asked, space, trial, POLICY, room)


def refused(asked: SweepRequest) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        defined(asked)
    return [(e.path, e.message) for e in caught.value.errors]


REFUSALS: dict[str, tuple[SweepRequest, str, str]] = {
    "an empty space": (an_ask(), "sweep.space", "is empty"),
    "a strange parameter": (an_ask(log("Cc")), "sweep.space.Cc", "did you mean C?"),
    "a strange parameter beside": (an_ask(log("C"), parameters={"comand": 1}), "sweep.parameters.comand", "unknown"),
    "a strange hyperparameter": (
        an_ask(log("hyperparameters.tool")),
        "sweep.space.hyperparameters.tool",
        "did you mean tol?",
    ),
    "a value that is no option": (
        an_ask(choice("kernel", "rbf", "polly"), max_trials=2),
        "sweep.space.kernel.values[1]",
        "did you mean poly?",
    ),
    "a bound beyond the template's": (an_ask(whole("degree", 2, 90)), "sweep.space.degree.high", "at most 20"),
    "a number where a whole one is needed": (
        an_ask(choice("n", 1), parameters={"algorithm": "knn"}),
        "sweep.space.n",
        "unknown",
    ),
    "a fraction for a whole number": (an_ask(number("degree", 2, 4)), "sweep.space.degree", "type integer"),
    "no end": (an_ask(log("C"), max_trials=None), "sweep.max_trials", "is required"),
    "more than there are": (an_ask(choice("kernel", "rbf", "poly")), "sweep.max_trials", "holds 2 different trials"),
    "none": (an_ask(log("C"), max_trials=0), "sweep.max_trials", "at least 1"),
    "far too many": (an_ask(log("C"), max_trials=10_001), "sweep.max_trials", "at most 10,000"),
    "none at once": (an_ask(log("C"), max_parallel=0), "sweep.max_parallel", "from 1"),
    "no objective": (an_ask(log("C"), objective=" "), "sweep.objective", "name of a metric"),
    "an objective that no metric is called": (
        an_ask(log("C"), objective="val.loss"),
        "sweep.objective",
        "with _ for .",
    ),
    "a seed below nothing": (an_ask(log("C"), seed=-1), "sweep.seed", "from 0"),
    "a halving by one": (an_ask(log("C"), eta=1), "sweep.early_stopping.eta", "from 2"),
    "a rung at nothing": (an_ask(log("C"), eta=3, min_step=0), "sweep.early_stopping.min_step", "from 1"),
    "a grid without points": (an_ask(log("C"), strategy="grid"), "sweep.space.C", "give step or count"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_is_told_where_it_was_said(case: str) -> None:
    asked, path, words = REFUSALS[case]
    [(told, message)] = refused(asked)
    assert (told, words in message) == (path, True), message


def test_all_that_is_wrong_is_told_at_once() -> None:
    paths = [path for path, _ in refused(an_ask(log("C", 0, 1), whole("degree", 5, 2), objective="", max_trials=0))]
    assert paths == ["sweep.space.C.low", "sweep.space.degree.low", "sweep.objective", "sweep.max_trials"]


def test_a_secret_is_nothing_to_search() -> None:
    draft = TemplateDraft("t", base_template="sleep", custom_parameters={"token": "x"})
    secret = derive(draft, builtin_templates()["sleep"], {})
    secret = replace(
        secret, parameters=tuple(replace(p, type="secret") if p.name == "token" else p for p in secret.parameters)
    )
    asked = an_ask(choice("token", "a", "b"), template="t", parameters={}, max_trials=2)
    with pytest.raises(Invalid) as caught:
        define(asked, checked_space(asked), specify(asked.request, secret, POLICY), POLICY, 1)
    assert [e.path for e in caught.value.errors] == ["sweep.space.token"]


def test_a_condition_is_met_when_its_child_is_tried_by_the_template() -> None:
    asked = an_ask(whole("degree", 2, 30, when=when(kernel="poly")), choice("kernel", "rbf", "poly"))
    assert refused(asked) == [("sweep.space.degree.high", "must be at most 20, got 30")]


def test_a_grid_is_as_long_as_its_space() -> None:
    assert defined(an_ask(log("C", count=7), strategy="grid", max_trials=None)).sweep.max_trials == 7


PARALLEL = {"few places": (3, {}, 5), "many": (100, {}, 8), "none": (0, {}, 2), "said": (0, {"max_parallel": 30}, 30)}


@pytest.mark.parametrize("case", PARALLEL)
def test_how_many_at_once(case: str) -> None:
    room, said, want = PARALLEL[case]
    assert defined(an_ask(log("C"), max_trials=40, **said), room).sweep.max_parallel == want


def test_never_more_at_once_than_in_all() -> None:
    assert defined(an_ask(log("C"), max_trials=3), 100).sweep.max_parallel == 3


RUNGS = {"said": ({}, 5, 5), "from the epochs": ({"max_epochs": 270}, None, 10), "few": ({"max_epochs": 9}, None, 1)}


@pytest.mark.parametrize("case", RUNGS)
def test_the_first_rung(case: str) -> None:
    parameters, min_step, want = RUNGS[case]
    asked = an_ask(log("alpha"), parameters={"algorithm": "dnn", **parameters}, eta=3, min_step=min_step)
    stopping = defined(asked).sweep.early_stopping
    assert stopping is not None and stopping.min_step == want


def test_room_is_what_ready_nodes_have_free_within_the_slots() -> None:
    one = Vector(1000, 1024)
    held = (Allocation("job_a", 1, Vector(2000, 2048)),)
    nodes = [
        Node("a", NodeState.READY, 1, {"gpu": "no"}, Vector(4000, 8192), Vector(2000, 6144), allocations=held),
        Node("b", NodeState.READY, 1, {}, Vector(8000, 3072), Vector(8000, 3072)),
        Node("c", NodeState.LOST, 1, {}, Vector(8000, 8192), Vector(8000, 8192)),
    ]
    assert room_for(one, {}, nodes, None) == 5
    assert room_for(one, {"gpu": "no"}, nodes, None) == 2
    assert room_for(one, {}, nodes, 3) == 2
    assert room_for(one, {}, nodes, 1) == 0
    assert room_for(one, {}, [], 10) == 0
