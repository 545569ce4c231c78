"""`webhook`: each plan is posted to an address, signed by Standard Webhooks; whoever answers there creates the nodes.

    {"type": "capacity.plan", "timestamp": …, "data": {"plan_id", "add": [{type, count}], "drain": [node ids],
     "total": [{type, count}]}}

`webhook-id` is the plan's id, the same each time that it is sent again: who has seen it does nothing. 2xx is a yes,
other answers a no; 408, 425, 429, 5xx and silence mean that nobody knows, and it is sent again. The nodes that come are
those that register; so there is nobody to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.clock import Clock
from app.domain.json import Json
from app.domain.ports import Ack, Message, ProvidedNode
from app.outgoing import Forbidden, post
from app.webhooks import signed

LATER = frozenset({408, 425, 429})


class Unanswered(Exception):
    """Whether the receiver did anything is not known."""


class WebhookProvider:
    """`CapacityProvider` that tells somebody else."""

    name = "webhook"
    acts = True

    def __init__(self, url: str, secret: str, clock: Clock, *, private: bool = False) -> None:
        self._url, self._secret, self._clock, self._private = url, secret, clock, private

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        data = {"plan_id": plan_id, "add": _counts(add), "drain": list(drain), "total": _counts(total)}
        now = self._clock.now()
        body, headers = signed(self._secret, Message(plan_id, "capacity.plan", now, data), now)
        try:
            status = await post(self._url, body, headers, private=self._private)
        except Forbidden as error:
            return Ack(accepted=False, detail=str(error))
        if status in LATER or status >= 500:
            raise Unanswered(f"answered {status}")
        return Ack(accepted=200 <= status < 300, detail=f"answered {status}")

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        return None

    async def aclose(self) -> None:
        return None


def _counts(counts: Mapping[str, int]) -> list[dict[str, Json]]:
    return [{"type": name, "count": count} for name, count in sorted(counts.items())]
