"""What the autoscaler remembers, and how looks and answers change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.capacity.rates import MOST, folded, streams
from app.domain.capacity.state import (
    Asked,
    Boot,
    CapacityState,
    accepted,
    asking,
    most_wanted,
    refused,
    unknown,
    with_nodes,
    with_wanted,
)
from app.domain.priority import SECOND
from tests.unit.domain.capacity.builders import a_type, types
from tests.unit.scheduler.builders import a_head

KINDS = types(a_type(boot=100.0))
PLAN = Asked("p1", 5 * SECOND, {"small": 2}, ("n9",), {"small": 3})
ASKED = asking(CapacityState(), PLAN)


def at(seconds: float) -> int:
    return round(seconds * SECOND)


class TestHistory:
    def test_the_most_over_the_window_counts_and_nothing_older(self) -> None:
        state = CapacityState()
        for seconds, count in ((0, 9), (100, 3), (400, 5)):
            state = with_wanted(state, at(seconds), {"small": count}, 600.0)
        assert most_wanted(state, at(599), 600.0) == {"small": 9}
        state = with_wanted(state, at(650), {"small": 2}, 600.0)
        assert most_wanted(state, at(650), 600.0) == {"small": 5}
        assert most_wanted(state, at(1_400), 600.0) == {}

    def test_nothing_is_forgotten_before_the_window_is_over(self) -> None:
        for seconds in range(0, 60, 7):
            state = with_wanted(CapacityState(), at(seconds), {"small": 4}, 600.0)
            assert most_wanted(state, at(seconds + 599.9), 600.0) == {"small": 4}
            assert most_wanted(state, at(seconds + 631), 600.0) == {}

    def test_it_stays_small_however_often_it_is_looked(self) -> None:
        state = CapacityState()
        for second in range(2_000):
            state = with_wanted(state, at(second), {"small": second % 7}, 600.0)
        assert len(state.history) <= 22 and most_wanted(state, at(2_000), 600.0) == {"small": 6}

    def test_types_are_counted_apart(self) -> None:
        state = with_wanted(CapacityState(), at(1), {"small": 1, "gpu": 4}, 600.0)
        state = with_wanted(state, at(2), {"small": 3}, 600.0)
        assert most_wanted(state, at(3), 600.0) == {"small": 3, "gpu": 4}


class TestBoots:
    def test_what_is_asked_for_is_on_its_way(self) -> None:
        assert ASKED.booting == {"small": 2} and ASKED.asked == PLAN

    def test_a_new_node_of_the_type_is_one_of_them(self) -> None:
        state, failed = with_nodes(ASKED, {"x": "small"}, ["x"], KINDS, at(60))
        assert (state.booting, failed) == ({"small": 1}, ())
        state, _ = with_nodes(state, {"x": "small", "y": "small"}, ["x", "y"], KINDS, at(70))
        assert state.boots == ()
        assert with_nodes(state, {"x": "small", "y": "small"}, ["x", "y"], KINDS, at(80))[0].booting == {}

    def test_a_node_of_nobody_is_none_of_them(self) -> None:
        assert with_nodes(ASKED, {"x": None}, ["x"], KINDS, at(60))[0].booting == {"small": 2}

    def test_the_oldest_come_first(self) -> None:
        twice = asking(accepted(ASKED, at(6)), replace(PLAN, plan_id="p2", at=at(50)))
        state, _ = with_nodes(twice, {"x": "small", "y": "small", "z": "small"}, "xyz", KINDS, at(60))
        assert state.boots == (Boot("p2", "small", 1, at(50)),)

    def test_those_that_do_not_come_are_given_up_and_their_type_barred_for_a_while(self) -> None:
        state, failed = with_nodes(ASKED, {}, [], KINDS, at(366))
        assert (state.boots, failed) == ((), ASKED.boots)
        assert state.barred == {"small": at(366 + 360)}
        assert with_nodes(ASKED, {}, [], KINDS, at(365))[1] == ()
        assert with_nodes(state, {}, [], KINDS, at(727))[0].barred == {}


class TestNodes:
    def test_since_when_each_is_ready(self) -> None:
        state, _ = with_nodes(CapacityState(), {"x": "small"}, ["x"], KINDS, at(1))
        state, _ = with_nodes(state, {"x": "small", "y": "small"}, ["x", "y"], KINDS, at(2))
        assert state.since == {"x": at(1), "y": at(2)}
        assert with_nodes(state, {"y": "small"}, ["y"], KINDS, at(3))[0].since == {"y": at(2)}, "it is gone"

    def test_one_that_drained_and_is_had_back_has_been_ready_since_then_and_is_no_boot(self) -> None:
        state, _ = with_nodes(ASKED, {"x": "small"}, ["x"], KINDS, at(10))
        for seconds in (20, 30):
            state, _ = with_nodes(state, {}, ["x"], KINDS, at(seconds))
        state, _ = with_nodes(state, {"x": "small"}, ["x"], KINDS, at(40))
        assert state.since == {"x": at(30)} and state.booting == {"small": 1}

    def test_one_that_was_to_be_taken_away_and_is_still_there_is_told_again(self) -> None:
        leaving = accepted(ASKED, at(6))
        assert with_nodes(leaving, {}, ["n9"], KINDS, at(300))[0].leaving == {"n9": at(6)}
        assert with_nodes(leaving, {}, ["n9"], KINDS, at(367))[0].leaving == {}
        assert with_nodes(leaving, {}, [], KINDS, at(7))[0].leaving == {}


class TestAnswers:
    def test_yes(self) -> None:
        state = accepted(replace(ASKED, trouble="x"), at(7))
        assert (state.asked, state.trouble, state.leaving) == (None, None, {"n9": at(7)})
        assert state.booting == {"small": 2}

    def test_no(self) -> None:
        state = refused(ASKED, KINDS, "no quota", at(7))
        assert (state.asked, state.boots, state.trouble, state.leaving) == (None, (), "no quota", {})
        assert state.barred == {"small": at(7 + 360)}

    def test_no_keeps_what_other_plans_asked_for(self) -> None:
        earlier = CapacityState(boots=(Boot("p0", "small", 1, 0),))
        assert refused(asking(earlier, PLAN), KINDS, "no", at(7)).booting == {"small": 1}

    def test_silence_is_answered_by_the_same_plan_later_and_later(self) -> None:
        state = ASKED
        waits = []
        for _ in range(7):
            state = unknown(state, KINDS, "timeout", at(10), every=2.0)
            assert state.asked is not None and state.asked.plan_id == "p1"
            waits.append((state.asked.again - at(10)) / SECOND)
        assert waits == [2, 4, 8, 16, 32, 64, 64] and state.booting == {"small": 2}

    def test_until_nobody_waits_for_it_any_more(self) -> None:
        assert unknown(ASKED, KINDS, "timeout", at(366), every=2.0).asked is None

    @pytest.mark.parametrize("answer", [lambda s: refused(s, KINDS, "", 0), lambda s: unknown(s, KINDS, "", 0, 1.0)])
    def test_that_nobody_asked_for_changes_nothing(self, answer: object) -> None:
        assert answer(CapacityState()) == CapacityState()  # type: ignore[operator]


class TestRates:
    HEAD = a_head("job_a", mean=30 * SECOND)

    def test_a_mean_over_the_span(self) -> None:
        rates = folded((), {"b": (self.HEAD, 9)}, at(10), 900.0)
        rates = folded(rates, {"b": (self.HEAD, 81)}, at(600), 900.0)
        [stream] = streams(rates, 900.0)
        assert (stream.rate, stream.mean, stream.request) == (0.1, 30.0, self.HEAD.members[0].demand.request)

    def test_what_is_over_is_forgotten_at_once(self) -> None:
        rates = folded((), {"b": (self.HEAD, 9)}, at(10), 900.0)
        assert streams(folded(rates, {}, at(909), 900.0), 900.0)
        assert folded(rates, {}, at(970), 900.0) == ()

    def test_one_job_is_no_stream(self) -> None:
        assert streams(folded((), {"b": (self.HEAD, 1)}, at(10), 900.0), 900.0) == ()

    def test_of_very_many_buckets_those_with_most_are_kept(self) -> None:
        came = {f"b{n:04}": (self.HEAD, n) for n in range(1, 2 * MOST)}
        rates = folded((), came, at(1), 900.0)
        assert len(rates) == MOST and min(rate.jobs for rate in rates) == MOST
