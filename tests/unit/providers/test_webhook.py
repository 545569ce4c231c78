"""The webhook provider: what it posts, and what it makes of answers."""

from __future__ import annotations

import orjson
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.clock import SystemClock
from app.domain.ports import Ack
from app.providers.webhook import Unanswered, WebhookProvider
from tests.support.receiver import receiver

SECRET = "whsec_" + "c2VjcmV0" * 6


def provider(url: str, *, private: bool = True) -> WebhookProvider:
    return WebhookProvider(url, SECRET, SystemClock(), private=private)


async def test_a_plan_is_posted_with_a_signature_that_the_library_verifies() -> None:
    async with receiver() as other:
        told = await provider(other.url).scale("p1x2", {"gpu": 2}, ["node-9"], {"gpu": 3, "small": 0})
        assert told == Ack(accepted=True, detail="answered 200")
        [got] = other.got
    body = Webhook(SECRET).verify(got.body, got.headers)
    assert (body["type"], got.headers["webhook-id"]) == ("capacity.plan", "p1x2")
    assert body["data"] == {
        "plan_id": "p1x2",
        "add": [{"type": "gpu", "count": 2}],
        "drain": ["node-9"],
        "total": [{"type": "gpu", "count": 3}, {"type": "small", "count": 0}],
    }
    forged = orjson.dumps({**orjson.loads(got.body), "type": "other"})
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(forged, got.headers)


async def test_told_again_it_has_the_same_id() -> None:
    async with receiver("503 Busy", "200 OK") as other:
        with pytest.raises(Unanswered):
            await provider(other.url).scale("p1", {"gpu": 1}, [], {"gpu": 1})
        assert (await provider(other.url).scale("p1", {"gpu": 1}, [], {"gpu": 1})).accepted
        assert [got.headers["webhook-id"] for got in other.got] == ["p1", "p1"]


@pytest.mark.parametrize("answer", ["408 Late", "425 Early", "429 Many", "500 Oops", "503 Busy"])
async def test_answers_that_leave_it_open(answer: str) -> None:
    async with receiver(answer) as other:
        with pytest.raises(Unanswered, match=answer[:3]):
            await provider(other.url).scale("p1", {}, [], {})


@pytest.mark.parametrize("answer", ["400 Bad", "404 Gone", "301 Moved"])
async def test_answers_that_say_no(answer: str) -> None:
    async with receiver(answer) as other:
        assert await provider(other.url).scale("p1", {}, [], {}) == Ack(False, f"answered {answer[:3]}")


async def test_an_address_that_may_not_be_reached_is_a_no_and_nothing_is_sent() -> None:
    async with receiver() as other:
        ack = await provider(other.url, private=False).scale("p1", {}, [], {})
        assert not ack.accepted and "not a public address" in ack.detail
        assert other.got == []


async def test_there_is_nobody_to_ask() -> None:
    assert await provider("http://127.0.0.1:1/").nodes() is None
