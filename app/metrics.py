"""What the service counts, for Prometheus: every collector of a process in one value.

Prefix `tensorfleet_`, base units. Label sets are closed: never a job id, a name or a tag; a node on its gauges only.
What is of the cluster and not of a process is counted and shown by the scheduler's leader alone, so that sums over
processes are right. Each `Metrics` has a registry of its own: two in one process do not meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import prometheus_client
from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from app.domain.priority import Priority
from app.refusals import KINDS

PREFIX = "tensorfleet"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets in seconds for what should take milliseconds."""
SLOW = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0, 172_800.0)
"""Buckets in seconds for waits and runs: from one second to two days."""
DELIVERIES = ("delivered", "failed", "given_up")


class _Known(MetricWrapperBase):
    """A collector that finds what it has already met without the lock, and without making texts of texts: each submit
    is counted ten times."""

    def labels(self, *values: str) -> Self:  # type: ignore[override]
        known: Any = self._metrics.get(values)
        return known or super().labels(*values)


class Counter(_Known, prometheus_client.Counter):
    """As the library's."""


class Gauge(_Known, prometheus_client.Gauge):
    """As the library's."""


class Histogram(_Known, prometheus_client.Histogram):
    """As the library's."""


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as the documentation has it. `leader`: only the scheduler's leader shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str
    leader: bool
    buckets: tuple[float, ...] = ()


class Metrics:
    """All collectors. Their texts are what `/metrics` and `docs/metrics.md` show."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self.described: list[Described] = []
        self._jobs()
        self._queue()
        self._nodes()
        self._scheduler()
        self._capacity()
        self._repairs()
        self._stores()
        self._service()
        self.build_info.labels(version).set(1)

    def render(self) -> bytes:
        """The text exposition format; `CONTENT_TYPE` is its type."""
        return generate_latest(self.registry)

    def _jobs(self) -> None:
        self.jobs_submitted = self._counter(
            "jobs_submitted_total", "Jobs accepted, by the class that was asked for.", "class", "template", leader=True
        )
        self.job_transitions = self._counter(
            "job_transitions_total", "State changes that became durable.", "from", "to", "reason", leader=True
        )
        self.job_wait_seconds = self._histogram(
            "job_wait_seconds", "From queued to started, of runs that ended.", "class", leader=True, buckets=SLOW
        )
        self.job_run_seconds = self._histogram(
            "job_run_seconds", "From start to end of a run.", "template", "result", leader=True, buckets=SLOW
        )
        self.step_run_seconds = self._histogram(
            "step_run_seconds", "From start to end of a step of a run.", "template", "step", leader=True, buckets=SLOW
        )

    def _queue(self) -> None:
        self.queue_jobs = self._gauge("queue_jobs", "Jobs in state QUEUED, by effective class.", "class", leader=True)
        self.oldest_wait = self._gauge(
            "queue_oldest_wait_seconds", "How long the job has waited that is queued longest.", "class", leader=True
        )
        self.waiting_jobs = self._gauge(
            "waiting_jobs", "Queued jobs by the reason that decides.", "reason", leader=True
        )

    def _nodes(self) -> None:
        self.nodes = self._gauge("nodes", "Nodes by state.", "state", leader=True)
        self.resource_capacity = self._gauge(
            "resource_capacity", "Capacity of a node.", "node", "resource", leader=True
        )
        self.resource_allocated = self._gauge(
            "resource_allocated", "Allocated on a node.", "node", "resource", leader=True
        )
        self.resource_used = self._gauge(
            "resource_used",
            "Used by the runs of a node, as it measures them: cpu_cores and memory_bytes.",
            "node",
            "resource",
            leader=True,
        )
        self.lease_age = self._gauge(
            "node_lease_age_seconds", "Since a node last renewed its lease.", "node", leader=True
        )
        self.leaked_allocations = self._gauge(
            "leaked_allocations", "Allocations without a live run; 0 at rest.", leader=True
        )

    def _scheduler(self) -> None:
        self.cycle_seconds = self._histogram("scheduler_cycle_seconds", "Time of a cycle's phases.", "phase")
        self.leader = self._gauge("scheduler_leader", "1 in the process whose scheduler leads.")
        self.last_cycle = self._gauge("scheduler_last_cycle_timestamp_seconds", "When the last cycle ended, Unix time.")
        self.promises_revoked = self._counter(
            "promises_revoked_total", "Promised starts that could not be kept; each was promised anew.", "cause"
        )
        self.start_estimate_hits = self._counter(
            "start_estimate_hits_total", "First start estimates by what became of them.", "class", "band", "result"
        )
        self.cycle_failures = self._counter("scheduler_cycle_failures_total", "Cycles that were given up.", "cause")
        self.placements = self._counter("scheduler_placements_total", "Planned placements by outcome.", "outcome")

    def _capacity(self) -> None:
        self.capacity_nodes = self._gauge(
            "capacity_nodes", "Nodes desired, present, booting and draining.", "type", "state", leader=True
        )
        self.capacity_cost = self._gauge(
            "capacity_cost_per_hour", "Price of the fleet as it is and should be.", "of", leader=True
        )
        self.capacity_plans = self._counter("capacity_plans_total", "Plans told to the provider, by answer.", "result")
        self.capacity_boots_failed = self._counter("capacity_boots_failed_total", "Nodes that did not come.", "type")

    def _repairs(self) -> None:
        self.index_repairs = self._counter("index_repairs_total", "Index made to agree with the store.", "kind")
        self.ledger_repairs = self._counter("ledger_repairs_total", "Ledger made to agree with live runs.", "kind")
        self.dispatch_redelivered = self._counter("dispatch_redelivered_total", "Rung again or taken back.", "kind")
        self.nodes_lost = self._counter("nodes_lost_total", "Nodes given up because their lease ran out.")
        self.runs_reaped = self._counter("runs_reaped_total", "Runs taken from lost nodes, by what became.", "to")
        self.documents_quarantined = self._counter("documents_quarantined_total", "Set aside as unusable.", "kind")
        self.stale_writes_refused = self._counter(
            "stale_writes_refused_total", "Late writes refused: here, and on nodes as the leader hears of them.", "kind"
        )
        _show_zeros(self.index_repairs, ("missing", "moved", "rebuilt", "stale"))
        _show_zeros(self.dispatch_redelivered, ("rung", "taken_back"))
        _show_zeros(self.documents_quarantined, ("job",))
        _show_zeros(self.stale_writes_refused, KINDS)

    def _stores(self) -> None:
        self.store_seconds = self._histogram(
            "store_operation_seconds", "Answered operations of this process.", "store", "operation"
        )
        self.store_errors = self._counter(
            "store_errors_total", "Operations of this process that failed.", "store", "operation"
        )
        for store in ("mongo", "redis"):
            self.store_errors.labels(store, "connect")

    def _service(self) -> None:
        self.http_seconds = self._histogram("http_request_duration_seconds", "Answered requests.", "operation", "code")
        self.stream_subscribers = self._gauge("stream_subscribers", "Open event streams.")
        self.stream_resyncs = self._counter("stream_resyncs_total", "Streams told to start over.", "cause")
        self.webhook_deliveries = self._counter("webhook_deliveries_total", "Tries to tell a receiver.", "result")
        self.build_info = self._gauge("build_info", "1, with the running version.", "version")
        _show_zeros(self.stream_resyncs, ("feed", "slow"))
        _show_zeros(self.webhook_deliveries, DELIVERIES)

    def forget_cluster(self) -> None:
        """Show no gauge of the cluster any more: another process leads, or this one stops."""
        for gauge in (self.queue_jobs, self.oldest_wait, self.waiting_jobs, self.nodes):
            gauge.clear()
        for gauge in (self.resource_capacity, self.resource_allocated, self.resource_used, self.lease_age):
            gauge.clear()
        self.leaked_allocations.set(0)
        self.forget_fleet()

    def forget_fleet(self) -> None:
        """The same, of the capacity plan."""
        self.capacity_nodes.clear()
        self.capacity_cost.clear()

    def show_oldest_waits(self, seconds: dict[Priority, float]) -> None:
        """By effective class; 0 for one in which nobody waits."""
        for priority in Priority:
            self.oldest_wait.labels(priority.value).set(max(0.0, seconds.get(priority, 0.0)))

    def _counter(self, name: str, text: str, *labels: str, leader: bool = False) -> Counter:
        self._describe(name, "counter", text, labels, leader=leader)
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str, leader: bool = False) -> Gauge:
        self._describe(name, "gauge", text, labels, leader=leader)
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, leader: bool = False, buckets: tuple[float, ...] = FAST
    ) -> Histogram:
        self._describe(name, "histogram", text, labels, buckets, leader=leader)
        return Histogram(name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets)

    def _describe(
        self, name: str, kind: str, text: str, labels: Iterable[str], buckets: tuple[float, ...] = (), *, leader: bool
    ) -> None:
        self.described.append(Described(f"{PREFIX}_{name}", kind, tuple(labels), text, leader, buckets))


def _show_zeros(counter: Counter, values: Iterable[str]) -> None:
    """A counter that is there before it counts: a rise from nothing is seen."""
    for value in values:
        counter.labels(value)
