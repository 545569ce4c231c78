"""What comes, goes and is told; the rebuild; the board."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from app.domain.estimates import Forecast
from app.domain.explain import Reason
from app.domain.ports import SCHEDULER_BELL, QueueIndex
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import Board, Place, Waiting
from tests.contract.queue_index.conftest import HIGH, LOW, NORMAL, Subject, ids
from tests.support.queueing import a_bucket, a_ticket, in_batches, member_of


class TestEnqueueAndDequeue:
    async def test_enqueue_again_changes_nothing(self, index: QueueIndex) -> None:
        first = await index.enqueue([a_ticket("a")])
        assert await index.enqueue([a_ticket("a")]) == first
        assert await index.lengths() == {Priority.URGENT: 0, HIGH: 0, NORMAL: 1, LOW: 0}
        assert [head.count for head in await index.heads()] == [1]

    async def test_enqueue_moves_a_job_to_its_new_class_and_bucket(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b", 7)])
        [place] = await index.enqueue([a_ticket("b", 0.5, HIGH, cores=2)])
        assert place == Place(1, 1, 1, a_bucket(HIGH, 2).id)
        assert await ids(index) == ["b", "a"]
        assert {head.bucket_id: head.count for head in await index.heads()} == {
            a_bucket().id: 1,
            a_bucket(HIGH, 2).id: 1,
        }

    async def test_a_new_key_moves_a_job_within_its_bucket(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a", 1), a_ticket("b", 2)])
        await index.enqueue([a_ticket("a", 3)])
        assert await ids(index) == ["b", "a"]

    async def test_dequeue_skips_absent_jobs_and_counts_the_others(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a"), a_ticket("b", cores=2)])
        assert await index.dequeue(["a", "nobody", "a"]) == 1
        assert await index.dequeue([]) == 0
        assert [head.bucket for head in await index.heads()] == [a_bucket(cores=2)]
        assert await ids(index) == ["b"]

    async def test_enqueue_rings_for_the_scheduler(self, subject: Subject) -> None:
        async with subject.bells.listen(SCHEDULER_BELL) as waker:
            await subject.index.enqueue([a_ticket("a")])
            assert await waker.wait(60)

    async def test_enqueue_of_nothing_answers_nothing(self, index: QueueIndex) -> None:
        assert await index.enqueue([]) == []


class TestContents:
    async def test_find_tells_of_those_that_wait(self, index: QueueIndex) -> None:
        ticket = a_ticket("a", 217_000_000_000_000 + 1 / 32, tenant="x")
        await index.enqueue([ticket, a_ticket("b", 2)])
        await index.publish_bands({"x": 3})
        expected = Waiting(ticket.bucket.id, ticket.bucket, member_of(ticket), band=3)
        assert await index.find(["nobody", "a"]) == {"a": expected}
        assert await index.find([]) == {}

    async def test_missing_names_what_is_not_there(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("a")])
        assert await index.missing(["x", "a", "y"]) == ["x", "y"]
        assert await index.missing([]) == []

    async def test_all_ids_gives_every_one(self, index: QueueIndex) -> None:
        wanted = {f"j{n}" for n in range(2_500)}
        await index.enqueue([a_ticket(job_id) for job_id in wanted])
        assert {job_id async for batch in index.all_ids() for job_id in batch} == wanted

    async def test_an_empty_index_answers_and_does_not_fail(self, subject: Subject) -> None:
        index = subject.index
        await index.enqueue([a_ticket("a")])
        await subject.lose()
        assert await index.heads() == []
        assert await index.listing(None, 10) == []
        assert await index.find(["a"]) == {}
        assert await index.lane(1e15) == []
        assert await index.locate(["a"]) == {}
        assert await index.missing(["a"]) == ["a"]
        assert sum((await index.lengths()).values()) == 0
        assert [batch async for batch in index.all_ids()] == []
        assert await index.dequeue(["a"]) == 0
        assert await index.epoch() is None
        assert await index.board() is None


class TestRebuild:
    async def test_replaces_what_was_there_and_marks_it_with_an_epoch(self, index: QueueIndex) -> None:
        await index.enqueue([a_ticket("stale", cores=9), a_ticket("kept", 5)])
        assert await index.rebuild(in_batches([a_ticket("kept", 2)], [], [a_ticket("new", 1, HIGH)])) == 2
        assert await ids(index) == ["new", "kept"]
        assert {head.bucket for head in await index.heads()} == {a_bucket(), a_bucket(HIGH)}
        first = await index.epoch()
        assert first
        await index.rebuild(in_batches())
        assert await ids(index) == []
        assert await index.epoch() not in {None, first}

    async def test_wakes_the_scheduler(self, subject: Subject) -> None:
        async with subject.bells.listen(SCHEDULER_BELL) as waker:
            await subject.index.rebuild(in_batches([a_ticket("a")]))
            assert await waker.wait(60)

    async def test_keeps_what_happened_to_the_index_meanwhile(self, index: QueueIndex) -> None:
        """The cursor read `gone` and `moved` before they changed, and was past the place of `came` before it came."""
        await index.enqueue([a_ticket("gone"), a_ticket("moved"), a_ticket("calm")])

        async def cursor() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("gone"), a_ticket("moved"), a_ticket("calm")]
            await index.dequeue(["gone", "left_before_it_was_read"])
            await index.enqueue([a_ticket("came", 7, cores=2), a_ticket("moved", 3, HIGH)])
            yield [a_ticket("left_before_it_was_read")]

        assert await index.rebuild(cursor()) == 3
        assert await ids(index) == ["moved", "calm", "came"]
        assert {head.bucket for head in await index.heads()} == {a_bucket(), a_bucket(HIGH), a_bucket(cores=2)}
        assert (await index.locate(["came"]))["came"].position == 3

    async def test_does_not_keep_what_happened_before(self, index: QueueIndex) -> None:
        """The control of the test above: what was touched before the rebuild has no say in it."""
        await index.rebuild(in_batches())
        await index.enqueue([a_ticket("orphan")])
        assert await index.rebuild(in_batches()) == 0
        assert await ids(index) == []

    async def test_a_later_rebuild_wins(self, index: QueueIndex) -> None:
        async def overtaken() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("old")]
            assert await index.rebuild(in_batches([a_ticket("new")])) == 1
            yield [a_ticket("older")]

        assert await index.rebuild(overtaken()) == 0
        assert await ids(index) == ["new"]
        assert await index.epoch()

    async def test_leaves_no_epoch_when_the_data_are_lost_meanwhile(self, subject: Subject) -> None:
        async def cut_short() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("read")]
            await subject.lose()
            await subject.index.enqueue([a_ticket("came")])

        assert await subject.index.rebuild(cut_short()) == 0
        assert await subject.index.epoch() is None
        assert await ids(subject.index) == ["came"]


class TestBoard:
    async def test_is_read_as_it_was_published(self, index: QueueIndex) -> None:
        at = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
        forecast = Forecast(at, {"b1": ((1, 0.0), (4, 12.5)), "b2": ()}, 0.25)
        reason = Reason("resources", "needs gpu_count 2", {"node": "n1", "gpu_count_short": 1, "share": 0.5})
        board = Board(at, forecast, {"b1": (reason,), "b2": ()}, paused=True)
        assert await index.board() is None
        await index.publish(board)
        assert await index.board() == board
