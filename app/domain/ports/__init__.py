"""What the service needs of the world, as protocols. `app.storage` implements them; memory adapters pass the same
tests.

Every call may raise `Unavailable` when its store is away for longer than the store's patience. A change that was not
answered may be committed again, unchanged: its `op` makes that idempotent.
"""

from app.domain.ports.batches import BatchStore
from app.domain.ports.capacity import Ack, CapacityProvider, CapacityStore, NoProvider, ProvidedNode
from app.domain.ports.decisions import DecisionStore
from app.domain.ports.definitions import DatasetStore, NameRegister, SecretStore, TemplateStore
from app.domain.ports.expressions import Expressions
from app.domain.ports.feed import ChangeFeed
from app.domain.ports.graph import DependencyGraph
from app.domain.ports.inquiry import Inquirer
from app.domain.ports.limits import LimitStore
from app.domain.ports.queue import (
    ROOM_BELL,
    SCHEDULER_BELL,
    SWEEP_BELL,
    Announcements,
    Bells,
    Dispatcher,
    QueueIndex,
    Waker,
    node_bell,
)
from app.domain.ports.runs import ArtifactStore, LogStore, MetricStore, RollupStore, RunStore
from app.domain.ports.stores import (
    AnswerStore,
    EndedJob,
    Health,
    JobStore,
    Lease,
    LeaseStore,
    NodeStore,
    SchedulerStore,
    StorePrimary,
    node_lease,
)
from app.domain.ports.sweeps import Sampler, TrialStore
from app.domain.ports.webhooks import Delivery, Message, Webhooks
from app.domain.ports.workflows import (
    DefinitionRow,
    DefinitionStore,
    ScheduleStore,
    StepCache,
    WorkflowPage,
    WorkflowQuery,
    WorkflowStore,
)

__all__ = [
    "ROOM_BELL",
    "SCHEDULER_BELL",
    "SWEEP_BELL",
    "Ack",
    "Announcements",
    "AnswerStore",
    "ArtifactStore",
    "BatchStore",
    "Bells",
    "CapacityProvider",
    "CapacityStore",
    "ChangeFeed",
    "DatasetStore",
    "DecisionStore",
    "DefinitionRow",
    "DefinitionStore",
    "Delivery",
    "DependencyGraph",
    "Dispatcher",
    "EndedJob",
    "Expressions",
    "Health",
    "Inquirer",
    "JobStore",
    "Lease",
    "LeaseStore",
    "LimitStore",
    "LogStore",
    "Message",
    "MetricStore",
    "NameRegister",
    "NoProvider",
    "NodeStore",
    "ProvidedNode",
    "QueueIndex",
    "RollupStore",
    "RunStore",
    "Sampler",
    "ScheduleStore",
    "SchedulerStore",
    "SecretStore",
    "StepCache",
    "StorePrimary",
    "TemplateStore",
    "TrialStore",
    "Waker",
    "Webhooks",
    "WorkflowPage",
    "WorkflowQuery",
    "WorkflowStore",
    "node_bell",
    "node_lease",
]
