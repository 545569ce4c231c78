"""Whether a node is worth its price: hours that jobs need not wait, at what an hour is worth to their class.

`Σ class price · hours of waiting saved ≥ node price · max(boot + mean busy time, window)`: a node that was asked for
stays at least so long. A class without a price goes by its target alone, and a node that it needs is asked for whatever
it costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.capacity.kinds import NodeType
from app.domain.capacity.loads import Load, Rules

HOUR = 3_600.0


def is_worth(loads: Sequence[Load], kind: NodeType, rules: Rules) -> bool:
    """For the slots that a new node would hold."""
    if any(not rules.prices.get(load.priority) for load in loads):
        return True
    gain, price = worth_of(loads, kind, rules)
    return gain >= price


def worth_of(loads: Sequence[Load], kind: NodeType, rules: Rules) -> tuple[float, float]:
    """What the node saves, and what it costs."""
    gain = sum(
        rules.prices.get(load.priority, 0.0) * load.count * load.jobs * max(0.0, load.spared - kind.boot) / HOUR
        for load in loads
    )
    places = sum(load.count for load in loads)
    busy = sum(load.count * load.jobs * load.mean for load in loads) / places if places else 0.0
    return gain, kind.price * max(kind.boot + busy, rules.window) / HOUR
