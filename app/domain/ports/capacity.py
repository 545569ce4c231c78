"""Who creates nodes and takes them away, and what the autoscaler hands on, as protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.capacity.report import CapacityPlan
from app.domain.capacity.state import CapacityState


@dataclass(frozen=True, slots=True)
class Ack:
    """What a provider says to a plan: that it carries it out, or that it does not, and why."""

    accepted: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProvidedNode:
    """A node as its provider knows it: on its way, or there. `plan_id`: the plan that asked for it, where that is
    known."""

    id: str
    type: str
    plan_id: str | None = None


class CapacityProvider(Protocol):
    """Creates nodes of the types that the settings name, and takes them away. A node that it creates registers with the
    label `node_type`.

    Whatever it raises means that nobody knows whether the plan was carried out; the same plan is told again.
    """

    @property
    def name(self) -> str:
        """As `CAPACITY_PROVIDER` names it."""

    @property
    def acts(self) -> bool:
        """Whether it does anything: else plans are advice."""

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        """Create so many nodes of each type, and take these nodes away: they take no more work and hold nothing.
        `total`: nodes by type that there are to be then. The same `plan_id` again does nothing again."""

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        """Those that it has created and not taken away; None where it cannot tell."""

    async def aclose(self) -> None:
        """The process ends."""


class NoProvider:
    """Nobody creates nodes: plans are advice."""

    name = "none"
    acts = False

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        del plan_id, add, drain, total
        return Ack(accepted=False, detail="CAPACITY_PROVIDER is none")

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        return None

    async def aclose(self) -> None:
        return None


class CapacityStore(Protocol):
    """What the autoscaler of the leader hands on to itself and to the next one, and its last plan for people."""

    async def begin(self, term: int) -> CapacityState | None:
        """As it was kept last; the initial one when there is none. From then on no earlier leader can keep anything.
        None when a later leader has begun."""

    async def keep(self, state: CapacityState, plan: CapacityPlan | None, term: int) -> bool:
        """Keep both; without a plan the last one stays. False, and nothing is kept, when a later leader has begun."""

    async def plan(self) -> CapacityPlan | None:
        """The last plan; None while there is none."""
