"""Everything that the use-cases work with, as one value of ports. `app.bootstrap` makes it; tests make it of memory
adapters."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import count

from app.clock import Clock
from app.config import Settings
from app.domain.ports import (
    Announcements,
    AnswerStore,
    ArtifactStore,
    BatchStore,
    Bells,
    CapacityProvider,
    CapacityStore,
    ChangeFeed,
    DatasetStore,
    DecisionStore,
    DefinitionStore,
    DependencyGraph,
    Dispatcher,
    Expressions,
    Health,
    JobStore,
    LeaseStore,
    LimitStore,
    LogStore,
    MetricStore,
    NameRegister,
    NodeStore,
    NoProvider,
    QueueIndex,
    RollupStore,
    RunStore,
    Sampler,
    SchedulerStore,
    ScheduleStore,
    SecretStore,
    StepCache,
    TemplateStore,
    TrialStore,
    Webhooks,
    WorkflowStore,
)
from app.domain.transitions import SYSTEM, Stamp
from app.quarantine import Quarantine
from app.recent import Recent, Snapshots
from app.refusals import Refusals
from app.turns import Turns

MOST_HISTORIES = 64
"""Groups of runs, of some hundred each, that a process remembers for some seconds."""


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of one process."""

    settings: Settings
    clock: Clock
    jobs: JobStore
    graph: DependencyGraph
    batches: BatchStore
    nodes: NodeStore
    leases: LeaseStore
    templates: TemplateStore
    datasets: DatasetStore
    names: NameRegister
    secrets: SecretStore
    answers: AnswerStore
    runs: RunStore
    rollups: RollupStore
    scheduler: SchedulerStore
    capacity: CapacityStore
    limits: LimitStore
    decisions: DecisionStore
    trials: TrialStore
    sampler: Sampler
    logs: LogStore
    metrics: MetricStore
    artifacts: ArtifactStore
    queue: QueueIndex
    announcements: Announcements
    dispatcher: Dispatcher
    bells: Bells
    feed: ChangeFeed
    health: Health
    expressions: Expressions
    definitions: DefinitionStore
    workflows: WorkflowStore
    schedules: ScheduleStore
    step_cache: StepCache
    webhooks: Webhooks
    knows_limits: bool = True
    """Whether its settings say which named limits there are: those of the API do, a worker's may lack some."""
    provider: CapacityProvider = field(default_factory=NoProvider)
    quarantine: Quarantine = field(default_factory=Quarantine)
    refusals: Refusals = field(default_factory=Refusals)
    recent: Recent = field(default_factory=Recent)
    reminders: Recent = field(default_factory=lambda: Recent(nearly=1.0))
    histories: Recent = field(default_factory=lambda: Recent(MOST_HISTORIES))
    snapshots: Snapshots = field(default_factory=Snapshots)
    workflow_turns: Turns = field(default_factory=Turns)
    _process: str = field(default_factory=lambda: os.urandom(6).hex())
    _numbers: count[int] = field(default_factory=count)

    def stamp(self, actor: str = SYSTEM) -> Stamp:
        """A stamp for one change: the time now, the actor, and an identity that no other change has."""
        return Stamp(self.clock.now(), actor, f"{self._process}{next(self._numbers):x}")
