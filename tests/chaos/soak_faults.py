"""What a soak does to the stack: faults and acts of users, drawn by a seed before anything starts.

Each takes the laboratory and what was planned, and leaves everything mended. Those of users (cancel, pause, resume,
retry, drain) meet jobs in any state; a refusal is an answer like another.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import elapse
from tests.chaos.part import Part

GAP_SECONDS = (0.5, 3.0)
LENGTH_SECONDS = (1.0, 6.0)
FIRST_SECONDS = 5.0
MOST_JOBS = 8


class Planned(NamedTuple):
    """What is to come: so many seconds after the beginning, for so long, at the n-th of what it hits."""

    at: float
    name: str
    seconds: float
    which: int


Make = Callable[[Laboratory, Planned], Awaitable[None]]


async def _victim(lab: Laboratory, fault: Planned) -> Part:
    """The worker of one of the running jobs: what hits an idle one proves little."""
    running = await lab.client.listed(status="RUNNING")
    node_id = (await lab.client.job(running[fault.which % len(running)]))["node_id"] if running else None
    return lab.node(node_id) if node_id else lab.nodes[fault.which % len(lab.nodes)]


async def _kill_worker(lab: Laboratory, fault: Planned) -> None:
    node = await _victim(lab, fault)
    await node.kill()
    await elapse(2 * fault.seconds if fault.which % 2 else 0.1)
    await lab.restart(node)


async def _restart_worker(lab: Laboratory, fault: Planned) -> None:
    node = await _victim(lab, fault)
    await node.stop()
    await lab.restart(node)


async def _freeze_worker(lab: Laboratory, fault: Planned) -> None:
    node = await _victim(lab, fault)
    node.freeze()
    await elapse(3 * fault.seconds)
    node.thaw()


async def _kill_api(lab: Laboratory, fault: Planned) -> None:
    api = lab.apis[fault.which % len(lab.apis)]
    await api.kill()
    await lab.restart(api)


async def _kill_redis(lab: Laboratory, fault: Planned) -> None:
    await lab.redis.kill()
    await elapse(fault.seconds)
    await lab.redis.start()


async def _silence(lab: Laboratory, fault: Planned) -> None:
    """One process loses its way to Redis, and to MongoDB where it has a way of its own."""
    name = [part.name for part in (*lab.apis, *lab.nodes)][fault.which % (len(lab.apis) + len(lab.nodes))]
    wires = [ways[name] for ways in (lab.mongo_wires, lab.redis_wires) if name in ways]
    for wire in wires:
        wire.hold()
    await elapse(2 * fault.seconds)
    for wire in wires:
        wire.mend()


async def _cut(lab: Laboratory, fault: Planned) -> None:
    members = [member.wire for member in lab.mongo.members]
    for wire in (*lab.mongo_wires.values(), *lab.redis_wires.values(), *members):
        wire.hang_up()


async def _freeze_primary(lab: Laboratory, fault: Planned) -> None:
    primary = await lab.mongo.primary()
    primary.freeze()
    await elapse(fault.seconds)
    primary.thaw()


async def _step_down(lab: Laboratory, fault: Planned) -> None:
    await lab.mongo.step_down()


async def _kill_member(lab: Laboratory, fault: Planned) -> None:
    member = lab.mongo.members[fault.which % len(lab.mongo.members)]
    await member.kill()
    await elapse(fault.seconds)
    await member.start()
    await lab.mongo.primary()


async def _some(lab: Laboratory, *states: str) -> Sequence[str]:
    return [job_id for state in states for job_id in (await lab.client.listed(status=state))[:MOST_JOBS]]


async def _cancel(lab: Laboratory, fault: Planned) -> None:
    for job_id in await _some(lab, "RUNNING", "QUEUED"):
        await lab.client.control(job_id, "cancel")


async def _pause(lab: Laboratory, fault: Planned) -> None:
    """Freezing them, or with their room given back; some are resumed before they stand."""
    ids = await _some(lab, "RUNNING", "QUEUED", "RETRYING")
    for job_id in ids:
        await lab.client.control(job_id, "pause", release=fault.which % 2 == 1)
    await elapse(fault.seconds if fault.which % 3 else 0.0)
    for job_id in ids:
        await lab.client.control(job_id, "resume")


async def _retry(lab: Laboratory, fault: Planned) -> None:
    for job_id in await _some(lab, "CANCELLED", "FAILED"):
        await lab.client.control(job_id, "retry")


async def _drain(lab: Laboratory, fault: Planned) -> None:
    name = lab.nodes[fault.which % len(lab.nodes)].name
    await lab.client.request("POST", f"/nodes/{name}/drain")
    await elapse(fault.seconds)
    await lab.client.request("POST", f"/nodes/{name}/resume")


class Kind(NamedTuple):
    """What makes it, how often it is drawn beside the others, and the fewest members of MongoDB that it needs."""

    make: Make
    weight: int
    members: int = 1


KINDS: Mapping[str, Kind] = {
    "worker killed": Kind(_kill_worker, 4),
    "worker restarted": Kind(_restart_worker, 2),
    "worker frozen": Kind(_freeze_worker, 3),
    "api killed": Kind(_kill_api, 2),
    "redis killed": Kind(_kill_redis, 1),
    "process silenced": Kind(_silence, 3),
    "all connections cut": Kind(_cut, 2),
    "primary frozen": Kind(_freeze_primary, 2),
    "primary steps down": Kind(_step_down, 3, members=3),
    "member killed": Kind(_kill_member, 2, members=3),
    "jobs cancelled": Kind(_cancel, 3),
    "jobs paused and resumed": Kind(_pause, 4),
    "jobs tried again": Kind(_retry, 2),
    "node drained": Kind(_drain, 2),
}


def plan_of(seed: int, seconds: float, members: int = 1) -> list[Planned]:
    """What a soak of so many seconds does: the same for the same seed and the same stack."""
    chance = random.Random(seed)
    names = [name for name, kind in KINDS.items() if kind.members <= members for _ in range(kind.weight)]
    planned: list[Planned] = []
    at = FIRST_SECONDS
    while at < seconds - LENGTH_SECONDS[1]:
        planned.append(Planned(at, chance.choice(names), chance.uniform(*LENGTH_SECONDS), chance.randrange(1 << 16)))
        at += chance.uniform(*GAP_SECONDS)
    return planned


async def mend(lab: Laboratory) -> None:
    """What users have stopped goes on: an act that was cut short by a fault may have left it."""
    for job_id in await lab.client.listed(status="PAUSED"):
        await lab.client.control(job_id, "resume")
    for node in lab.nodes:
        await lab.client.request("POST", f"/nodes/{node.name}/resume")
