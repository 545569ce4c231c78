"""What only the index in Valkey can meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from app.domain.errors import Unavailable
from app.domain.priority import Priority
from app.domain.queueing import ROOM, Resolution, Ticket
from app.storage.queue_index import STRUCTURES, RedisQueueIndex
from app.storage.redis import connect
from tests.contract.queue_index.conftest import ids
from tests.contract.queue_index.test_buckets import unlike
from tests.support.queueing import a_bucket, a_ticket, in_batches


class TestRedis:
    """What only a real server shows."""

    async def test_scripts_survive_a_server_that_forgot_them(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("a")])
        await redis.script_flush()
        [place] = await index.enqueue([a_ticket("b", 2)])
        assert place.position == 2

    async def test_concurrent_enqueues_share_few_calls(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("first", 0)])
        await redis.config_resetstat()
        found = await asyncio.gather(*(index.enqueue([a_ticket(f"j{n}", n + 1)]) for n in range(64)))
        assert sorted(place.position for [place] in found) == list(range(2, 66))
        calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        assert calls <= 2

    async def test_many_tickets_go_in_chunks(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.rebuild(in_batches())
        await redis.config_resetstat()
        places = await index.enqueue([a_ticket(f"j{n:04}", n) for n in range(2_500)])
        assert [place.position for place in places] == list(range(1, 2_501))
        assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] <= 4

    async def test_a_rebuild_leaves_nothing_behind_but_the_index(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket("stale", cores=9)])

        async def broken() -> AsyncIterator[list[Ticket]]:
            yield [a_ticket("half", cores=5)]
            await index.enqueue([a_ticket("touched", cores=6)])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await index.rebuild(broken())
        await index.rebuild(in_batches([a_ticket("a")]))
        own = a_bucket().id
        assert {key.decode() for key in await redis.keys()} == {
            f"tf:test:{name}"
            for name in (
                *("q:normal:*:default", "queues:normal", "o:normal", f"b:{own}"),
                *("bucket", "home", "made", "waiting", "at", "epoch"),
            )
        }
        assert {await redis.ttl(key) for key in await redis.keys()} == {-1}

    async def test_an_empty_index_holds_no_keys(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        await index.enqueue([a_ticket(f"j{n}", n, p, n) for n, p in enumerate(Priority)])
        await index.dequeue([f"j{n}" for n in range(4)])
        assert await redis.keys() == []

    async def test_structures_that_disagree_are_given_up(self, redis: Redis) -> None:
        spoils: list[Callable[[], Any]] = [
            lambda: redis.hdel("tf:test:at", "a"),
            lambda: redis.zrem("tf:test:q:normal:*:default", "a"),
            lambda: redis.zrem("tf:test:o:normal", "a"),
            lambda: redis.hincrby("tf:test:waiting", "normal", 1),
            lambda: redis.hset("tf:test:waiting", "low", "many"),
            lambda: redis.hdel("tf:test:home", a_bucket().id),
            lambda: redis.hincrby("tf:test:made", "low:default", 1),
            lambda: redis.hset("tf:test:queues:low", "low:*:nobody", "1"),
            lambda: redis.zadd(f"tf:test:b:{a_bucket().id}", {"b": 1.0}),
        ]
        for n, spoil in enumerate(spoils):
            index = RedisQueueIndex(redis, "tf:test")
            await index.rebuild(in_batches([a_ticket("a"), a_ticket("b", cores=2)]))
            assert len(await index.heads()) == 2
            await spoil()
            await index.heads()
            assert await index.epoch() is None, n
            assert await redis.keys() == [], n

    @pytest.mark.parametrize("name", STRUCTURES)
    async def test_a_structure_of_another_type_is_given_up_by_whoever_meets_it(self, redis: Redis, name: str) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        for spaces in ("tf:test", "tf:test:next"):
            await index.rebuild(in_batches([a_ticket(p.value, priority=p) for p in Priority]))
            await redis.delete(f"{spaces}:{name}")
            await redis.rpush(f"{spaces}:{name}", "rubbish")  # type: ignore[misc]
            for _ in range(3):
                for work in (index.heads(), index.enqueue([a_ticket("b", 2)]), index.rebuild(in_batches())):
                    with suppress(Unavailable):
                        await work
            await index.rebuild(in_batches([a_ticket("a")]))
            [place] = await index.enqueue([a_ticket("b", 2)])
            assert place.position == 2
            assert [head.count for head in await index.heads()] == [2]

    async def test_a_job_that_cannot_be_read_is_left_out_and_the_index_given_up(self, redis: Redis) -> None:
        own = a_bucket().id
        for rubbish in ("", f"normal:{own}:[]", f"normal:{own}:{{", f'normal:{own}:[-1,1,0,0,"low",1,1,1,1,0]'):
            index = RedisQueueIndex(redis, "tf:test")
            await index.rebuild(in_batches([a_ticket("a"), a_ticket("b", 2)]))
            await redis.hset("tf:test:at", "b", rubbish)  # type: ignore[misc]
            assert [w.member.job_id for w in await index.listing(None, 5)] == ["a"]
            assert await redis.keys() == []

    async def test_a_rebuild_keeps_the_bound_whatever_comes_meanwhile(self, redis: Redis) -> None:
        index = RedisQueueIndex(redis, "tf:test")
        tickets = unlike(300)
        await index.enqueue(tickets)

        async def cursor() -> AsyncIterator[list[Ticket]]:
            yield tickets[:100]
            await index.enqueue(unlike(100, start=500))
            await index.enqueue(tickets[:150])
            yield tickets[100:]

        assert await index.rebuild(cursor()) == 400
        heads = await index.heads()
        assert sum(head.count for head in heads) == 400
        assert len(heads) <= ROOM[Resolution.OCTAVE] + 1
        assert await index.epoch() is not None

    async def test_namespaces_do_not_see_each_other(self, redis: Redis) -> None:
        one, other = RedisQueueIndex(redis, "tf:one"), RedisQueueIndex(redis, "tf:other")
        await one.enqueue([a_ticket("a")])
        await other.rebuild(in_batches())
        assert await other.missing(["a"]) == ["a"]
        assert await ids(one) == ["a"]

    async def test_a_board_of_another_shape_reads_as_none(self, redis: Redis) -> None:
        await redis.set("tf:test:board", b'{"at": "2026-01-01T00:00:00Z", "forecast": 3}')
        assert await RedisQueueIndex(redis, "tf:test").board() is None

    async def test_a_cancelled_caller_ends_at_once_and_harms_nobody(self, redis: Redis) -> None:
        """redis-py by itself swallows some of these cancellations, and breaks connections with others."""
        index = RedisQueueIndex(redis, "tf:test")

        async def ask_for_ever() -> None:
            while True:
                await index.lengths()

        loop = asyncio.get_running_loop()
        for n in range(300):
            asking = asyncio.create_task(ask_for_ever())
            loop.call_later(n / 100_000, asking.cancel)
            await asyncio.wait([asking], timeout=30)
            assert asking.cancelled()
        [place] = await index.enqueue([a_ticket("a")])
        assert place.position == 1

    async def test_an_absent_server_is_unavailable(self) -> None:
        async with connect("redis://127.0.0.1:1/0") as nowhere:
            index = RedisQueueIndex(nowhere, "tf:test")
            for call in (index.enqueue([a_ticket("a")]), index.heads(), index.lengths(), index.missing(["a"])):
                with pytest.raises(Unavailable) as caught:
                    await call
                assert caught.value.store == "Redis"

    async def test_a_refusal_is_unavailable_and_its_words_are_logged(
        self, redis: Redis, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await redis.set("tf:test:at", "not a hash")
        with pytest.raises(Unavailable):
            await RedisQueueIndex(redis, "tf:test").enqueue([a_ticket("a")])
        assert "WRONGTYPE" in capsys.readouterr().out
