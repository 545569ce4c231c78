"""One cycle of the scheduler, in six phases: heads, snapshot, order, plan, commit, explain.

The phases between load and commit are pure. A cycle keeps no state that matters: what it remembers (expectations, what
is set aside, the last board) only makes the next one cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.nodes import Allocation
from app.domain.records import BucketHead
from app.metrics import Metrics
from app.quarantine import Unreadable
from app.scheduler.commit import Checkpoint, Committed, Findings, check, commit, mend_index, no_checkpoint
from app.scheduler.expectations import Expectations
from app.scheduler.loading import load
from app.scheduler.ordering import Candidates
from app.scheduler.planner import Plan, plan
from app.scheduler.publisher import Publisher
from app.scheduler.set_aside import BAD, HELD_ELSEWHERE, SetAside
from app.scheduler.snapshot import Snapshot, after_placing, members_wanted, take_snapshot, with_members
from app.scheduler.store_clock import store_now
from app.services import Services

MOST_ASIDE = 1_000
"""Members read beyond what could be placed, to get past those that are set aside."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cycle did.

    `futile`: jobs wait and none could be placed; `deserted`: no node takes work; `again`: another cycle may place more
    at once; `untold`: seconds until a changed board is due.
    """

    placed: int
    futile: bool
    deserted: bool
    again: bool
    untold: float | None


class Cycle:
    """Runs cycles over the services; made once by the leader."""

    def __init__(self, services: Services, metrics: Metrics, checkpoint: Checkpoint = no_checkpoint) -> None:
        self._services = services
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._aside = SetAside()
        self._expectations = Expectations(services)
        self.publisher = Publisher(services, metrics, self._expectations)

    async def run_once(self) -> Outcome:
        """One cycle. Raises Unavailable when a store is away; the reconciler sees whatever was left half done."""
        seconds = self._metrics.cycle_seconds
        with seconds.labels("heads").time():
            heads = await self._services.queue.heads()
        with seconds.labels("snapshot").time():
            snapshot = await self._snapshot(heads)
        with seconds.labels("order").time():
            candidates = Candidates(snapshot.heads)
        with seconds.labels("plan").time():
            planned = plan(snapshot, candidates, self._services.settings.scheduler.cycle_placements)
        with seconds.labels("commit").time():
            committed, mended = await self._commit(snapshot, planned)
        with seconds.labels("explain").time():
            untold = await self._explain(snapshot, committed, mended)
        self._metrics.last_cycle.set(self._services.clock.now().timestamp())
        placed = len(committed.placed)
        again = planned.capped or committed.dropped > 0 or mended > 0
        return Outcome(placed, bool(heads) and not placed, not snapshot.ready, again, untold)

    async def _snapshot(self, heads: Sequence[BucketHead]) -> Snapshot:
        """Nodes, and of each bucket as many members as could be placed."""
        services = self._services
        nodes = await services.nodes.all()
        snapshot = take_snapshot(nodes, heads, services.settings.limits.max_concurrent_jobs, await store_now(services))
        aside = self._aside.current(time.monotonic())
        most = services.settings.scheduler.cycle_placements
        wanted = members_wanted(snapshot, most, min(len(aside), MOST_ASIDE))
        members = await services.queue.members(wanted) if wanted else {}
        return with_members(snapshot, members, aside)

    async def _commit(self, snapshot: Snapshot, planned: Plan) -> tuple[Committed, int]:
        """Make the plan true; also answers how many of its jobs were not as the index said."""
        for bucket_id, fault in planned.faults.items():
            await self._quarantine("bucket", bucket_id, fault)
        if not planned.placements:
            return Committed(), 0
        findings = await self._findings(snapshot, planned)
        await mend_index(self._services, self._metrics, findings)
        committed = await commit(self._services, findings.ready, self._checkpoint)
        for ready, job in zip(committed.placed, committed.jobs, strict=True):
            self._expectations.placed(ready.placement.bucket_id, job)
        self._metrics.placements.labels("placed").inc(len(committed.placed))
        self._metrics.placements.labels("dropped").inc(committed.dropped)
        return committed, len(findings.gone) + len(findings.moved) + len(findings.held)

    async def _findings(self, snapshot: Snapshot, planned: Plan) -> Findings:
        """The planned jobs as they are. What cannot be read, or holds room already, is set aside."""
        loaded = await load(self._services, [p.job_id for p in planned.placements])
        for job_id, fault in loaded.faults.items():
            await self._quarantine("job", job_id, fault)
        readable = [p for p in planned.placements if p.job_id not in loaded.faults]
        held = frozenset((a.job_id, a.run_no) for n in snapshot.nodes for a in n.allocations)
        findings = check(readable, loaded.jobs, held)
        for job_id in findings.held:
            self._aside.add(job_id, time.monotonic(), HELD_ELSEWHERE)
        return findings

    async def _quarantine(self, kind: str, key: str, fault: str) -> None:
        self._aside.add(key, time.monotonic(), BAD)
        await self._services.quarantine.hold([Unreadable(kind, key, fault)])

    async def _explain(self, snapshot: Snapshot, committed: Committed, mended: int) -> float | None:
        placed: dict[str, list[tuple[str, Allocation]]] = {}
        for ready in committed.placed:
            pair = ready.placement.bucket_id, ready.allocation
            placed.setdefault(ready.placement.node_id, []).append(pair)
        after = after_placing(snapshot, placed) if placed else snapshot
        return await self.publisher.tell(after, changed=bool(placed) or mended > 0)
