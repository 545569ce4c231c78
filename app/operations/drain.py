"""Drain a node, and let it take work again: a wish that is kept on the node until it is taken back."""

from __future__ import annotations

import structlog

from app.domain.errors import NotFound
from app.domain.nodes import Drain, Node
from app.domain.ports import ROOM_BELL, node_bell
from app.services import Services

log = structlog.get_logger()


async def drain_node(services: Services, node_id: str, actor: str, reason: str | None) -> Node:
    """The node after it: no job is placed on it any more, and its worker empties it. Draining twice is draining once:
    the first reason stands. Raises NotFound."""
    node = await find_node(services, node_id)
    if node.drain is not None:
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
    await services.bells.ring(node_bell(node_id))
    await services.bells.ring(ROOM_BELL)
    return node
