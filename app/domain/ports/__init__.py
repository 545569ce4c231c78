"""What the service needs of the world, as protocols. `app.storage` implements them; memory adapters pass the same
tests.

Every call may raise `Unavailable` when its store is away for longer than the store's patience. A change that was not
answered may be committed again, unchanged: its `op` makes that idempotent.
"""

from app.domain.ports.batches import BatchStore
from app.domain.ports.decisions import DecisionStore
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
from app.domain.ports.runs import ArtifactStore, LogStore, MetricStore, RunStore
from app.domain.ports.stores import (
    AnswerStore,
    DatasetStore,
    EndedJob,
    Health,
    JobStore,
    Lease,
    LeaseStore,
    NameRegister,
    NodeStore,
    SchedulerStore,
    SecretStore,
    StorePrimary,
    TemplateStore,
    node_lease,
)
from app.domain.ports.sweeps import Sampler, TrialStore
from app.domain.ports.webhooks import Delivery, Message, Webhooks

__all__ = [
    "ROOM_BELL",
    "SCHEDULER_BELL",
    "SWEEP_BELL",
    "Announcements",
    "AnswerStore",
    "ArtifactStore",
    "BatchStore",
    "Bells",
    "ChangeFeed",
    "DatasetStore",
    "DecisionStore",
    "Delivery",
    "DependencyGraph",
    "Dispatcher",
    "EndedJob",
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
    "NodeStore",
    "QueueIndex",
    "RunStore",
    "Sampler",
    "SchedulerStore",
    "SecretStore",
    "StorePrimary",
    "TemplateStore",
    "TrialStore",
    "Waker",
    "Webhooks",
    "node_bell",
    "node_lease",
]
