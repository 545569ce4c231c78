"""Drain a node, and let it take work again: a wish that is kept on the node until it is taken back. A user's wish gives
runs a grace; that of the fleet lets them end by themselves, and gives way to a user's."""

from __future__ import annotations

import structlog

from app.domain.errors import NotFound
from app.domain.nodes import Drain, Node, NodeState
from app.domain.ports import ROOM_BELL, node_bell
from app.services import Services

log = structlog.get_logger()
AUTOSCALER = "autoscaler"
"""The actor of what the fleet does with its nodes."""


async def drain_node(services: Services, node_id: str, actor: str, reason: str | None) -> Node:
    """The node after it: no job is placed on it any more, and its worker empties it. Draining twice is draining once:
    the first reason stands; only a patient wish of the fleet gives way. Raises NotFound."""
    node = await find_node(services, node_id)
    if node.drain is not None and not node.drain.patient:
        return node
    log.info("node.drain_begun", node_id=node_id, actor=actor, reason=reason)
    return await _set_drain(services, node_id, Drain(actor, reason, services.clock.now()))


async def resume_node(services: Services, node_id: str, actor: str, reason: str | None) -> Node:
    """The node after it: it takes work again. One that was not drained stays as it is. Raises NotFound."""
    node = await find_node(services, node_id)
    if node.drain is None:
        return node
    log.info("node.drain_ended", node_id=node_id, actor=actor, reason=reason)
    return await _set_drain(services, node_id, None)


async def give_up_node(services: Services, node_id: str) -> bool:
    """For the fleet to shrink: the node takes no more work, and its runs end by themselves. Whether it drains for that
    now; a user's wish stands."""
    wish = Drain(AUTOSCALER, "not needed at present", services.clock.now(), patient=True)
    node = await services.nodes.set_drain(node_id, wish, wish.at, patiently=True)
    await _tell(services, node_id)
    return node is not None and node.drain is not None and node.drain.patient


async def have_node_back(services: Services, node_id: str) -> bool:
    """The fleet needs the node after all. Whether it takes work again; a user's wish stands."""
    node = await services.nodes.set_drain(node_id, None, services.clock.now(), patiently=True)
    await _tell(services, node_id)
    return node is not None and node.drain is None and node.state is NodeState.READY


async def find_node(services: Services, node_id: str) -> Node:
    """The node. Raises NotFound."""
    node = await services.nodes.get(node_id)
    if node is None:
        raise NotFound("node", node_id)
    return node


async def _set_drain(services: Services, node_id: str, drain: Drain | None) -> Node:
    node = await services.nodes.set_drain(node_id, drain, services.clock.now())
    if node is None:
        raise NotFound("node", node_id)
    await _tell(services, node_id)
    return node


async def _tell(services: Services, node_id: str) -> None:
    await services.bells.ring(node_bell(node_id))
    await services.bells.ring(ROOM_BELL)
