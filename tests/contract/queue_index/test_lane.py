"""The overdue, and between whom a moved job stands."""

from __future__ import annotations

from app.domain.ports import QueueIndex
from app.domain.priority import PATIENCE, SECOND
from app.domain.records import Neighbours
from tests.contract.queue_index.conftest import HIGH, LOW, NORMAL, URGENT
from tests.support.queueing import a_ticket, member_of, moved


class TestLane:
    async def test_holds_the_overdue_by_due_time_of_the_class_asked_for(self, index: QueueIndex) -> None:
        now = 10.0 * PATIENCE[LOW]
        await index.enqueue(
            [
                a_ticket("low_just_due", 5, LOW, submitted=now - PATIENCE[LOW]),
                a_ticket("low_not_yet", 1, LOW, submitted=now - PATIENCE[LOW] + 1),
                a_ticket("raised", 1, URGENT, own=LOW, submitted=now - PATIENCE[LOW] - SECOND),
                a_ticket("urgent", 9, URGENT, submitted=now - PATIENCE[URGENT] - 2 * SECOND),
                a_ticket("tie_b", 2, submitted=now - PATIENCE[NORMAL] - 3 * SECOND, tenant="x"),
                a_ticket("tie_a", 3, HIGH, submitted=now - PATIENCE[HIGH] - 3 * SECOND),
            ]
        )
        await index.publish_bands({"x": 9})
        order = ["tie_a", "tie_b", "urgent", "raised", "low_just_due"]
        found = await index.lane(now)
        assert [w.member.job_id for w in found] == order
        assert found == [(await index.find(order))[job_id] for job_id in order]
        assert [w.member.job_id for w in await index.lane(now, 2)] == order[:2]
        assert await index.lane(0.0) == []

    async def test_a_reorder_does_not_change_when_a_job_is_due(self, index: QueueIndex) -> None:
        ticket = a_ticket("a", 1.0)
        await index.enqueue([ticket])
        await index.enqueue([moved(ticket, 1e15, 0)])
        assert [w.member.job_id for w in await index.lane(1.0 + PATIENCE[NORMAL])] == ["a"]

    async def test_those_that_left_are_not_in_it(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b")])
        await index.enqueue([a_ticket("b", own=LOW)])
        await index.dequeue(["a"])
        assert await index.lane(1.0 + PATIENCE[NORMAL]) == []


class TestNeighbours:
    async def test_of_one_band_are_those_at_the_place_without_the_job(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket(f"j{n}", 10.0 * n, tenant=f"t{n % 2}") for n in range(1, 6)])
        expected = {
            1: (None, 10.0),
            2: (10.0, 30.0),
            3: (30.0, 40.0),
            4: (40.0, 50.0),
            5: (50.0, None),
            9: (50.0, None),
        }
        for position, (before, after) in expected.items():
            assert await index.neighbours(NORMAL, position, "j2") == Neighbours(before, after, 0, 5), position

    async def test_of_a_job_from_elsewhere_all_stay(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a", 1), a_ticket("b", 2), a_ticket("other", 5, HIGH)])
        for job_id in ("other", "nobody"):
            assert await index.neighbours(NORMAL, 2, job_id) == Neighbours(1.0, 2.0, 0, 2)
            assert await index.neighbours(NORMAL, 3, job_id) == Neighbours(2.0, None, 0, 2)

    async def test_the_band_is_that_of_the_job_at_the_place(self, index: QueueIndex) -> None:
        await index.publish_bands({"much": 5, "some": 2})
        await index.enqueue([a_ticket(f"{t}{n}", n, tenant=t) for t in ("much", "some") for n in (1, 2)])
        job = "some1"  # the others in order: some2, much1, much2
        assert await index.neighbours(NORMAL, 1, job) == Neighbours(None, 2.0, 2, 4)
        assert await index.neighbours(NORMAL, 2, job) == Neighbours(None, 1.0, 5, 4)
        assert await index.neighbours(NORMAL, 3, job) == Neighbours(1.0, 2.0, 5, 4)
        assert await index.neighbours(NORMAL, 4, job) == Neighbours(2.0, None, 5, 4)

    async def test_nobody_else_leaves_the_job_its_band(self, index: QueueIndex) -> None:
        await index.publish_bands({"much": 5})
        await index.enqueue([a_ticket("a", tenant="much"), a_ticket("b", tenant="much", pin=3)])
        assert await index.neighbours(LOW, 1, "a") == Neighbours(None, None, 5, 0)
        assert await index.neighbours(LOW, 1, "b") == Neighbours(None, None, 3, 0)
        await index.dequeue(["b"])
        assert await index.neighbours(NORMAL, 1, "a") == Neighbours(None, None, 5, 1)
        assert await index.neighbours(NORMAL, 1, "nobody") == Neighbours(None, 1.0, 5, 1)

    async def test_a_job_with_a_key_between_them_stands_there(self, index: QueueIndex) -> None:
        """What a reorder does, to and from every place."""
        tickets = {f"j{n}": a_ticket(f"j{n}", float(n), tenant=f"t{n % 3}") for n in range(7)}
        await index.publish_bands({"t1": 4})
        await index.enqueue(list(tickets.values()))
        for position in range(1, 8):
            for job_id, ticket in tickets.items():
                found = await index.neighbours(NORMAL, position, job_id)
                low = found.before if found.before is not None else (found.after or 0.0) - 1
                high = found.after if found.after is not None else low + 2
                [place] = await index.enqueue([moved(ticket, (low + high) / 2, found.band)])
                assert place.class_position == position

    async def test_span_gives_those_around_a_key(self, index: QueueIndex) -> None:
        tickets = [a_ticket(f"j{n}", n, tenant=f"t{n % 3}", pin=4) for n in range(10)]
        await index.enqueue([*tickets, a_ticket("other_band", 5), a_ticket("other_class", 5, HIGH, pin=4)])
        assert await index.span(NORMAL, 4, 5.0, 4) == [member_of(t) for t in tickets[3:7]]
        assert await index.span(NORMAL, 4, 0.5, 4) == [member_of(t) for t in tickets[:3]]
        assert await index.span(NORMAL, 4, 99.0, 5) == [member_of(t) for t in tickets[8:]]
        assert await index.span(NORMAL, 9, 5.0, 4) == []
