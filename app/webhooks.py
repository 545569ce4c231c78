"""Signed messages to addresses that users named, in the form of Standard Webhooks: `webhook-id`, `webhook-timestamp`
and `webhook-signature` over the body, which receivers check with a library that exists. Where it may go says
`outgoing`.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
import orjson
from standardwebhooks.webhooks import Webhook

from app.clock import Clock
from app.domain.ports import Delivery, Message
from app.domain.timestamps import rfc3339
from app.environment import WHSEC, Group, variable
from app.outgoing import Forbidden, is_public, post

GONE = 410
"""The receiver wants no more of it."""
UNSIGNED = "callbacks are signed, and the setting CALLBACK_SECRET holds no secret to sign with"


class CallbackSettings(Group):
    """What is posted to addresses that users name."""

    secret: str | None = variable(
        "CALLBACK_SECRET",
        "Signs callbacks: `whsec_` and 24 to 64 random bytes in base64. Unset: no `callback_url` is accepted.",
        None,
        pattern=WHSEC,
        repr=False,
    )
    private: bool = variable(
        "CALLBACK_PRIVATE", "Whether a `callback_url` may lead to a private or loopback address.", False
    )


class SignedWebhooks:
    """`Webhooks` over HTTP."""

    def __init__(self, settings: CallbackSettings, clock: Clock) -> None:
        self._secret, self._private, self._clock = settings.secret, settings.private, clock

    def refusal(self, url: str) -> str | None:
        if self._secret is None:
            return UNSIGNED
        host = urlsplit(url).hostname or ""
        if self._private or not _is_hidden(host):
            return None
        return f"{host} is not a public address; the setting CALLBACK_PRIVATE allows others"

    async def send(self, url: str, message: Message) -> Delivery:
        if self._secret is None:
            return Delivery(UNSIGNED)
        body, headers = signed(self._secret, message, self._clock.now())
        try:
            status = await post(url, body, headers, private=self._private)
        except Forbidden as error:
            return Delivery(str(error), final=True)
        except (OSError, httpx.HTTPError) as error:
            return Delivery(f"no answer ({type(error).__name__})")
        if 200 <= status < 300:
            return Delivery()
        return Delivery(f"answered {status}", final=status == GONE)


def signed(secret: str, message: Message, now: datetime) -> tuple[bytes, dict[str, str]]:
    """The body of a message, and the headers that go with it."""
    body = orjson.dumps({"type": message.type, "timestamp": rfc3339(message.at), "data": dict(message.data)})
    return body, {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message.id, now, body.decode()),
    }


def _is_hidden(host: str) -> bool:
    """Whether the host says by itself that it is none of the open internet. Names are looked up when it is sent."""
    try:
        return not is_public(ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
