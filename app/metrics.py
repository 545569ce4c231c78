"""What the service counts, for Prometheus: every collector of a process in one value.

Prefix `tensorfleet_`, base units. Label sets are closed: never a job id, a name or a tag. Gauges of the cluster are set
by the scheduler's leader alone, so that sums over processes are right. Each `Metrics` has a registry of its own: two in
one process do not meet.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

PREFIX = "tensorfleet"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets in seconds for what should take milliseconds."""


class Metrics:
    """All collectors. Their texts are what `/metrics` and `docs/metrics.md` show."""

    def __init__(self, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        self._jobs()
        self._cluster()
        self._scheduler()
        self._repairs()
        self._service()
        self.build_info.labels(version).set(1)

    def render(self) -> bytes:
        """The text exposition format; `CONTENT_TYPE` is its type."""
        return generate_latest(self.registry)

    def _jobs(self) -> None:
        self.jobs_submitted = self._counter("jobs_submitted_total", "Jobs accepted.", "class", "template")
        self.job_transitions = self._counter("job_transitions_total", "State changes seen.", "from", "to", "reason")
        self.queue_jobs = self._gauge("queue_jobs", "Jobs in state QUEUED, by effective class.", "class")
        self.waiting_jobs = self._gauge("waiting_jobs", "Queued jobs by the reason that decides.", "reason")

    def _cluster(self) -> None:
        self.nodes = self._gauge("nodes", "Nodes by state.", "state")
        self.resource_capacity = self._gauge("resource_capacity", "Capacity of a node.", "node", "resource")
        self.resource_allocated = self._gauge("resource_allocated", "Allocated on a node.", "node", "resource")
        self.leaked_allocations = self._gauge("leaked_allocations", "Allocations without a live run; 0 at rest.")

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

    def _repairs(self) -> None:
        self.index_repairs = self._counter("index_repairs_total", "Index made to agree with the store.", "kind")
        self.ledger_repairs = self._counter("ledger_repairs_total", "Ledger made to agree with live runs.", "kind")
        self.dispatch_redelivered = self._counter("dispatch_redelivered_total", "Rung again or taken back.", "kind")
        self.nodes_lost = self._counter("nodes_lost_total", "Nodes given up because their lease ran out.")
        self.runs_reaped = self._counter("runs_reaped_total", "Runs taken from lost nodes, by what became.", "to")
        self.documents_quarantined = self._counter("documents_quarantined_total", "Set aside as unusable.", "kind")
        self.stale_writes_refused = self._counter("stale_writes_refused_total", "Late writes refused.", "kind")

    def _service(self) -> None:
        self.store_errors = self._counter("store_errors_total", "Store calls that failed.", "store", "operation")
        self.http_seconds = self._histogram("http_request_duration_seconds", "Answered requests.", "operation", "code")
        self.stream_subscribers = self._gauge("stream_subscribers", "Open event streams.")
        self.stream_resyncs = self._counter("stream_resyncs_total", "Streams told to start over.", "cause")
        self.webhook_deliveries = self._counter("webhook_deliveries_total", "Tries to tell a receiver.", "result")
        self.build_info = self._gauge("build_info", "1, with the running version.", "version")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace=PREFIX, registry=self.registry, buckets=FAST)
