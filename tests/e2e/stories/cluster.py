"""Two services and a node: one service plans, the other stands by, and users speak to that one alone. So the death of
the API and the death of the scheduler's leader are different deaths."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import httpx

from tests.chaos.client import Client
from tests.chaos.part import Part
from tests.support.ports import own_port
from tests.support.wait import until

Role = Literal["api", "leader", "worker"]


class Cluster:
    """`without`: the protections that are off; see `tests.chaos.doctored`."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, without: Sequence[str] = ()) -> None:
        self._folder, self._env, self._without = folder, env, without
        self.services = [self._part(f"service-{n}", "serve", PORT=str(own_port())) for n in (1, 2)]
        self.node = self._part("node-1", "worker", NODE_ID="node-1")
        self.client = Client([])
        """Speaks to the service that stands by, and waits for it while it is away."""

    def _part(self, name: str, command: str, **own: str) -> Part:
        return Part(name, self._folder, {**self._env, **own}, command, light=True)

    async def open(self) -> None:
        """The first service leads."""
        for part in (*self.services, self.node):
            await self.restart(part)
        await self.part_of("api")

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)
        for part in (self.node, *self.services):
            await part.close()

    async def restart(self, part: Part, *faults: str) -> None:
        """Start it with these faults and wait until it serves."""
        await part.start(without=self._without, faults=faults)

    async def kill(self, role: Role) -> Part:
        """kill -9; what was killed."""
        part = await self.part_of(role)
        await part.kill()
        return part

    async def restore(self, part: Part) -> None:
        """Start again what was killed, a service once the other leads."""
        if part in self.services:
            await self.part_of("api")
        await self.restart(part)

    async def part_of(self, role: Role) -> Part:
        """Who plays this role now; users are turned to the one that stands by."""
        if role == "worker":
            return self.node
        leader = await until(self._leader, 120, every=0.05, message="a service leads")
        assert leader is not None
        [api] = [service for service in self.services if service is not leader]
        self.client.urls = [_url(api)]
        return api if role == "api" else leader

    async def _leader(self) -> Part | None:
        leading = await asyncio.gather(*(_leads(service) for service in self.services))
        return next((service for service, leads in zip(self.services, leading, strict=True) if leads), None)


def _url(service: Part) -> str:
    return f"http://127.0.0.1:{service.env['PORT']}"


async def _leads(service: Part) -> bool:
    if not service.alive:
        return False
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            scheduler = (await http.get(f"{_url(service)}/readyz")).json()["detail"]["scheduler"]
    except httpx.TransportError:
        return False
    return bool(scheduler and scheduler["leading"])
