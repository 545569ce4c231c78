"""One cycle of the scheduler, in five phases: heads, snapshot, plan, commit, explain.

The planning between snapshot and commit is pure. What is carried to the next cycle stands in `standing`; all else that
is remembered (what is set aside, the last board) only makes the next one cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.domain.nodes import Allocation
from app.domain.records import BucketHead
from app.domain.scheduler_state import QueuePause
from app.metrics import Metrics
from app.quarantine import Unreadable
from app.scheduler.arrivals import Arrivals
from app.scheduler.calibrator import Calibrator
from app.scheduler.commit import Checkpoint, Committed, Findings, check, commit, mend_index, no_checkpoint
from app.scheduler.evicting import evict
from app.scheduler.loading import load
from app.scheduler.looking import look
from app.scheduler.planner import Plan, plan
from app.scheduler.profile import Live
from app.scheduler.publisher import Publisher, Told
from app.scheduler.recorder import Recorder
from app.scheduler.rules import rules_of
from app.scheduler.set_aside import BAD, HELD_ELSEWHERE, SetAside
from app.scheduler.snapshot import Snapshot, after_placing, members_wanted, with_members
from app.scheduler.standing import Standing
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
        self._rules = rules_of(services.settings)
        self.standing = Standing(services, metrics)
        self.arrivals = Arrivals()
        self.calibrator = Calibrator(services, metrics)
        self.recorder = Recorder(services)
        self.publisher = Publisher(services, metrics, self.calibrator)
        self.left: Snapshot | None = None
        """How things stood after the last cycle."""

    async def run_once(self, term: int = 0) -> Outcome:
        """One cycle of this term. Raises Unavailable when a store is away; the reconciler sees whatever was left half
        done."""
        seconds = self._metrics.cycle_seconds
        with seconds.labels("heads").time():
            heads = await self._services.queue.heads()
        with seconds.labels("snapshot").time():
            snapshot, pause = await self._snapshot(heads, term)
        with seconds.labels("plan").time():
            planned = plan(snapshot)
        with seconds.labels("commit").time():
            committed, mended = await self._commit(snapshot, planned)
        for job in await evict(self._services, planned.evictions):
            self.standing.live.placed(job)
        self.standing.after(snapshot, planned, [job.id for job in committed.jobs])
        self.recorder.note(term, snapshot, planned, pause)
        self.arrivals.seen(snapshot, [ready.placement.bucket_id for ready in committed.placed])
        with seconds.labels("explain").time():
            untold = await self._explain(snapshot, planned, pause, committed, mended)
        self._metrics.last_cycle.set(self._services.clock.now().timestamp())
        placed = len(committed.placed)
        again = planned.capped or committed.dropped > 0 or mended > 0
        return Outcome(placed, bool(heads) and not placed, not snapshot.ready, again, untold)

    async def _snapshot(self, heads: Sequence[BucketHead], term: int) -> tuple[Snapshot, QueuePause | None]:
        """All that the planner looks at: of each bucket as many members as could be placed; and the queue's pause."""
        services = self._services
        state = await self.standing.state(term)
        await self.calibrator.begin(term)
        snapshot, pause = await look(services, heads, self._rules, state, self.standing.live)
        self.calibrator.capacity_is(snapshot.capacity, services.clock.now().timestamp())
        aside = self._aside.current(time.monotonic())
        wanted = members_wanted(snapshot, min(len(aside), MOST_ASIDE))
        members = await services.queue.members(wanted) if wanted else {}
        return with_members(snapshot, members, aside), pause

    async def _commit(self, snapshot: Snapshot, planned: Plan) -> tuple[Committed, int]:
        """Make the plan true; also answers how many of its jobs were not as the index said."""
        for bucket_id, fault in planned.faults.items():
            await self._quarantine("bucket", bucket_id, fault)
        if not planned.placements:
            return Committed(), 0
        findings = await self._findings(snapshot, planned)
        await mend_index(self._services, self._metrics, findings)
        committed = await commit(self._services, findings.ready, self._checkpoint)
        for job in committed.jobs:
            self.standing.live.placed(job)
        await self.calibrator.started([job.id for job in committed.jobs], self._services.clock.now())
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

    async def _explain(
        self, snapshot: Snapshot, planned: Plan, pause: QueuePause | None, committed: Committed, mended: int
    ) -> float | None:
        placed: dict[str, list[tuple[str, Allocation]]] = {}
        for ready in committed.placed:
            pair = ready.placement.bucket_id, ready.allocation
            placed.setdefault(ready.placement.node_id, []).append(pair)
        after = after_placing(snapshot, placed) if placed else snapshot
        after = replace(after, promises=planned.promises, credit=planned.credit, live=await self._live(after))
        self.left = after
        return await self.publisher.tell(
            Told(after, planned, pause, self.arrivals.loss(), self.arrivals.empty(after)),
            changed=bool(placed) or mended > 0,
        )

    async def _live(self, snapshot: Snapshot) -> Mapping[tuple[str, int], Live]:
        return await self.standing.live.of(snapshot.nodes, snapshot.now)
