"""A fleet under constant demand comes to rest, and never turns within the window; without the window it does."""

from __future__ import annotations

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from app.domain.capacity.kinds import NodeType
from app.domain.capacity.loads import Rules
from app.domain.priority import SECOND, Priority
from app.domain.resources import Vector
from bench.sim.fleet import Autoscaled, FleetHistory
from bench.sim.jobs import HOUR, Kind, SimJob, Trace, a_job, in_order, some_nodes

HOURS = 5
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example takes a second; to look for a smaller one would take minutes."""
WINDOW = 600.0
QUICK = (Priority.URGENT, Priority.HIGH)
"""Classes in which a fleet that is a little too small is found out within minutes; with a target of hours that takes as
many."""
Regular = tuple[int, int, int, Priority]
"""Eighths of a node, seconds that a job takes, seconds from one to the next, class."""


def regular(*classes: Priority) -> st.SearchStrategy[list[Regular]]:
    sizes, takes, gaps = st.sampled_from([1, 2, 3, 4, 8]), st.integers(60, 1_800), st.integers(40, 600)
    return st.lists(st.tuples(sizes, takes, gaps, st.sampled_from(classes)), min_size=1, max_size=3)


BURSTS: list[Regular] = [(4, 100, 630, Priority.NORMAL)]
"""One job at a time with pauses between: a fleet without a memory is taken away and asked for again at each."""


def jobs(number: int, what: Regular) -> list[SimJob]:
    eighths, takes, gap, priority = what
    alike = Kind(Vector(8_000 * eighths, 32_768 * eighths, eighths, 0), takes, takes, 2 * takes)
    times = range(number, HOURS * 3_600, gap)
    return [a_job(f"k{number}-{n:05}", at * SECOND, alike, takes, priority) for n, at in enumerate(times)]


def under(demand: list[Regular], window: float = WINDOW) -> FleetHistory:
    """What a fleet does from nothing."""
    [node] = some_nodes(1)
    trace = Trace("constant", (node,), in_order(job for n, what in enumerate(demand) for job in jobs(n, what)))
    kind = NodeType("worker", node.capacity, boot=120.0, most=500)
    return Autoscaled(trace, [kind], Rules(window=window)).run()


@settings(max_examples=20, deadline=None, derandomize=True, phases=WITHOUT_SHRINKING)
@given(regular(*QUICK))
def test_constant_demand_reaches_a_fixed_point(demand: list[Regular]) -> None:
    found = under(demand)
    assert [move for move in found.moves if (HOURS - 1) * HOUR < move[0] < HOURS * HOUR] == []


@settings(max_examples=20, deadline=None, derandomize=True, phases=WITHOUT_SHRINKING)
@given(regular(*Priority))
@example(BURSTS)
def test_the_fleet_does_not_turn_within_the_window(demand: list[Regular]) -> None:
    assert under(demand).turns(round(WINDOW * SECOND)) == (0, 0)


def test_it_is_the_window_that_keeps_the_fleet_from_turning() -> None:
    """The mutant: the fleet shrinks to what is wanted this moment."""
    up_down, down_up = under(BURSTS, window=0.001).turns(round(WINDOW * SECOND))
    assert up_down > 10 and down_up > 10


@pytest.mark.parametrize("demand", [[(8, 1_000, 250, Priority.NORMAL)], [(3, 600, 100, Priority.URGENT)]])
def test_at_rest_the_fleet_has_what_the_demand_takes_and_little_more(demand: list[Regular]) -> None:
    [(eighths, takes, gap, _)] = demand
    found = under(demand)
    at_rest = [n for at, n in found.counts if at < HOURS * HOUR][-1]
    needed = takes / gap / (8 // eighths)
    assert needed <= at_rest <= 1.25 * needed + 1
