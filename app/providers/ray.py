"""`ray`: the autoscaler of a Ray cluster is asked for as many nodes of each type as there are to be.

A request names the whole and replaces the one before, so that telling a plan again changes nothing. A node of a type is
one of a Ray node type that declares the custom resource `tensorfleet_{type}: 1` and starts `tensorfleet worker`; Ray
ends nodes that are asked for no more and idle. See docs/capacity.md.

`ray` comes with the extra of that name and is imported when it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

from app.domain.ports import Ack, ProvidedNode

Bundles = list[dict[str, float]]
Request = Callable[[Bundles], None]
"""Asks the autoscaler for room for these bundles, in place of what it was asked for before. May block."""


class RayProvider:
    """`CapacityProvider` over the autoscaler's requests."""

    name = "ray"
    acts = True

    def __init__(self, request: Request) -> None:
        self._request = request

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        del plan_id, add, drain
        bundles = [{f"tensorfleet_{kind}": 1.0} for kind in sorted(total) for _ in range(max(0, total[kind]))]
        await asyncio.to_thread(self._request, bundles)
        return Ack(accepted=True)

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        """Ray names its nodes as it likes; a request that is made again changes nothing."""
        return None

    async def aclose(self) -> None:
        return None


def cluster_request(address: str) -> Request:
    """Requests to the cluster there."""

    def request(bundles: Bundles) -> None:
        ray = import_module("ray")
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False)
        import_module("ray.autoscaler.sdk").request_resources(bundles=bundles)

    return request
