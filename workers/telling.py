"""What a node tells of itself at its beat: what its runs use, and how many of its late writes were refused.

Cores in use are the processor seconds between two beats. A node that has nothing to tell writes nothing: once that its
runs use nothing any more, and then no more until something changes.
"""

from __future__ import annotations

from time import monotonic as moment

from app.domain.nodes import NodeReport
from app.services import Services
from workers.usage import TreeWatch


class Telling:
    """Of one node. `watch` knows what its runs use."""

    def __init__(self, services: Services, node_id: str, watch: TreeWatch) -> None:
        self._services, self._node_id, self._watch = services, node_id, watch
        self._since = services.clock.now()
        self._measured: tuple[float, float] | None = None
        self._told: NodeReport | None = None

    async def tell(self, epoch: int) -> None:
        """Write what is so now. Raises Unavailable; the next beat tells anew."""
        report = self._report(moment())
        if self._told is None or _news(self._told, report):
            await self._services.nodes.report(self._node_id, report, epoch)
            self._told = report

    def _report(self, at: float) -> NodeReport:
        before, seconds = self._measured, self._watch.cpu_seconds
        self._measured = at, seconds
        cores = 0.0
        if before is not None and at > before[0]:
            cores = max(0.0, seconds - before[1]) / (at - before[0])
        memory, refused = round(self._watch.memory_mib, 1), dict(self._services.refusals.counts)
        return NodeReport(self._services.clock.now(), self._since, round(cores, 3), memory, refused)


def _news(told: NodeReport, now: NodeReport) -> bool:
    """Whether anything but the time is new; what is used is told again each time, so that it is seen to be fresh."""
    idle = (now.cpu_cores, now.memory_mib) == (told.cpu_cores, told.memory_mib) == (0.0, 0.0)
    return not idle or now.refused != told.refused
