"""Kinds of nodes that may be created, and how a node tells of which kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.resources import Vector

NODE_TYPE_LABEL = "node_type"
"""A node with this label is one of the named type's: counted, and taken away when it is not needed."""


@dataclass(frozen=True, slots=True)
class NodeType:
    """`price` per hour; `boot`: seconds from the wish to a node that takes work; `least`, `most`: nodes of the type."""

    name: str
    capacity: Vector
    labels: Mapping[str, str] = field(default_factory=dict)
    price: float = 0.0
    boot: float = 60.0
    least: int = 0
    most: int = 10

    @property
    def all_labels(self) -> dict[str, str]:
        """Those that a node of the type carries."""
        return {**self.labels, NODE_TYPE_LABEL: self.name}


NodeTypes = Mapping[str, NodeType]


def type_of(labels: Mapping[str, str], types: NodeTypes) -> str | None:
    """The type of a node with these labels; None for one that somebody else started, and looks after."""
    name = labels.get(NODE_TYPE_LABEL)
    return name if name in types else None
