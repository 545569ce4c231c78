"""Signed messages on the wire: what a receiver gets, and where none may go. Each refusal has its control: with the
setting that allows it, the same message arrives."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.clock import SystemClock
from app.domain.ports import Delivery, Message
from app.webhooks import CallbackSettings, SignedWebhooks
from tests.support.clock import NOON

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw=="
MESSAGE = Message("msg_batch_1_2", "batch.ended", NOON, {"id": "batch_1", "status": "FAILED"})


@dataclass
class Receiver:
    """A plain HTTP server: what it got, and what it answers."""

    port: int = 0
    answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:])}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.got.append((headers, body))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


def webhooks(**settings: Any) -> SignedWebhooks:
    chosen = {"secret": SECRET, "private": True, **settings}
    return SignedWebhooks(CallbackSettings.model_construct(**chosen), SystemClock())


async def test_a_receiver_can_verify_what_it_gets(receiver: Receiver) -> None:
    assert await webhooks().send(f"http://127.0.0.1:{receiver.port}/hook?x=1", MESSAGE) == Delivery()
    [(headers, body)] = receiver.got
    assert Webhook(SECRET).verify(body, headers) == orjson.loads(body) == {
        "type": "batch.ended", "timestamp": "2026-01-01T12:00:00.000Z", "data": {"id": "batch_1", "status": "FAILED"},
    }  # fmt: skip
    assert headers["webhook-id"] == MESSAGE.id
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"FAILED", b"FINE"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "AAAA" * 8).verify(body, headers)


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Delivery()),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", Delivery("answered 500")),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Delivery("answered 410", final=True)),
        (b"nonsense\r\n\r\n", Delivery("no answer (RemoteProtocolError)")),
    ],
)
async def test_what_the_answer_means(receiver: Receiver, answer: bytes, want: Delivery) -> None:
    receiver.answer = answer
    assert await webhooks().send(f"http://127.0.0.1:{receiver.port}/", MESSAGE) == want


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = (
        f"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:{receiver.port}/again\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    assert await webhooks().send(f"http://127.0.0.1:{receiver.port}/", MESSAGE) == Delivery("answered 307")
    assert len(receiver.got) == 1


async def test_nobody_there() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        delivery = await webhooks().send(f"http://127.0.0.1:{port}/", MESSAGE)
    assert (delivery.trouble, delivery.final) == ("no answer (ConnectError)", False)


async def test_private_addresses_are_refused_for_good_unless_they_are_allowed(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/"
    delivery = await webhooks(private=False).send(url, MESSAGE)
    assert delivery.final and "127.0.0.1, which is not a public address" in (delivery.trouble or "")
    assert receiver.got == []
    assert await webhooks(private=True).send(url, MESSAGE) == Delivery()


async def test_a_name_is_judged_by_where_it_leads(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A public name in front of a private address: the address decides, and it is looked up once."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    url = f"http://hooks.example.com:{receiver.port}/"
    assert (await webhooks(private=False).send(url, MESSAGE)).final
    assert (asked, receiver.got) == (["hooks.example.com"], [])
    assert await webhooks(private=True).send(url, MESSAGE) == Delivery()
    assert receiver.got[0][0]["host"] == f"hooks.example.com:{receiver.port}", "it is asked by its own name"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "localhost", "a.localhost", "0.0.0.0"],
)
def test_what_says_itself_that_it_is_private_is_refused_at_once(host: str) -> None:
    assert "is not a public address" in (webhooks(private=False).refusal(f"http://{host}:8084/") or "")
    assert webhooks(private=True).refusal(f"http://{host}:8084/") is None


def test_public_hosts_are_taken_and_nothing_without_a_secret() -> None:
    for url in ("https://example.com/", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/"):
        assert webhooks(private=False).refusal(url) is None
    assert "CALLBACK_SECRET" in (webhooks(secret=None).refusal("https://example.com/") or "")


async def test_a_message_keeps_its_id_and_gets_a_new_time_with_each_try(receiver: Receiver) -> None:
    later = SystemClock().now() + timedelta(minutes=4)

    class Later:
        def now(self) -> Any:
            return later

    url = f"http://127.0.0.1:{receiver.port}/"
    await webhooks().send(url, MESSAGE)
    await SignedWebhooks(CallbackSettings.model_construct(secret=SECRET, private=True), Later()).send(url, MESSAGE)
    first, second = (headers for headers, _ in receiver.got)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) >= 239
