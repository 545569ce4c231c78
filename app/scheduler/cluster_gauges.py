"""The gauges of the cluster, which the leader alone shows: the queue, the nodes, and what they hold and use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from app.domain.explain import WAIT_CODES
from app.domain.nodes import Node, NodeState
from app.domain.priority import Priority, moment
from app.metering import RefusalMeter
from app.metrics import Metrics
from app.scheduler.snapshot import Snapshot
from app.scheduler.verdicts import Verdicts, reason_counts

BASE_UNITS = {"cpu_cores": 0.001, "memory_bytes": 1 << 20, "gpus": 1, "storage_bytes": 1 << 30}
"""Label of each dimension, and how many base units one of a vector's is."""


class ClusterGauges:
    """`lease`: how long a node's lease is."""

    def __init__(self, metrics: Metrics, lease: timedelta) -> None:
        self._metrics = metrics
        self._lease = lease
        self._refusals = RefusalMeter(metrics)

    def show(self, snapshot: Snapshot, known: Verdicts, queued_since: Mapping[Priority, datetime]) -> None:
        """How things stand. `known`: why jobs wait; `queued_since`: of the oldest in the queue, by class."""
        metrics, now = self._metrics, moment(snapshot.now)
        lengths = dict.fromkeys(Priority, 0)
        for head in snapshot.heads:
            lengths[head.bucket.priority] += head.count
        for priority, count in lengths.items():
            metrics.queue_jobs.labels(priority.value).set(count)
        metrics.waiting_jobs.clear()
        for code, count in (dict.fromkeys(WAIT_CODES, 0) | reason_counts(snapshot, known)).items():
            metrics.waiting_jobs.labels(code).set(count)
        metrics.show_oldest_waits({p: (now - at).total_seconds() for p, at in queued_since.items() if lengths[p]})
        self._show_nodes(snapshot.nodes, now)

    def _show_nodes(self, nodes: tuple[Node, ...], now: datetime) -> None:
        metrics = self._metrics
        for state in NodeState:
            metrics.nodes.labels(state.value).set(sum(n.state is state for n in nodes))
        for gauge in (metrics.resource_capacity, metrics.resource_allocated, metrics.resource_used, metrics.lease_age):
            gauge.clear()
        for node in nodes:
            if node.state is not NodeState.LOST:  # it offers nothing, and is remembered for a day
                self._show_node(node, now)
        self._refusals.heard(nodes)

    def _show_node(self, node: Node, now: datetime) -> None:
        metrics = self._metrics
        whole, taken = node.capacity.parts(), (node.capacity - node.free).parts()
        for n, (resource, unit) in enumerate(BASE_UNITS.items()):
            metrics.resource_capacity.labels(node.id, resource).set(whole[n] * unit)
            metrics.resource_allocated.labels(node.id, resource).set(taken[n] * unit)
        cores, mebibytes = used_by(node, now, self._lease)
        metrics.resource_used.labels(node.id, "cpu_cores").set(cores)
        metrics.resource_used.labels(node.id, "memory_bytes").set(mebibytes * BASE_UNITS["memory_bytes"])
        if node.lease_until is not None:
            age = (now - (node.lease_until - self._lease)).total_seconds()
            metrics.lease_age.labels(node.id).set(max(0.0, age))

    def forget(self) -> None:
        """Another process leads, or this one stops."""
        self._metrics.forget_cluster()
        self._refusals.forget()


def used_by(node: Node, now: datetime, lease: timedelta) -> tuple[float, float]:
    """Cores and MiB that the runs of a node use. Nothing, when it has said so, is lost, or was silent for two leases:
    a node speaks at each beat while it has runs."""
    report = node.report
    if report is None or node.state is NodeState.LOST or now - report.at > 2 * lease:
        return 0.0, 0.0
    return report.cpu_cores, report.memory_mib
