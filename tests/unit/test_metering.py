"""From events, reports and stores to what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import NoScriptError, ResponseError

from app.domain.events import Event
from app.domain.nodes import NodeReport, NodeState
from app.metering import EventMeter, Labels, RefusalMeter, StoreMeter, template_labels
from app.metrics import Metrics
from app.scheduler.cluster_gauges import ClusterGauges
from app.scheduler.verdicts import verdicts
from app.storage.observing import observed
from tests.support.clock import NOON
from tests.unit.scheduler.builders import a_node, a_snapshot


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"tensorfleet_{name}", labels)


def moved(source: str | None, to: str, reason: str, **subject: str) -> Event:
    return Event("job.state", {"from": source, "to": to, "reason": reason}, subject=subject)


def test_labels_are_bounded_by_who_comes_first() -> None:
    labels = Labels(["noop"], 2)
    assert [labels.of(name) for name in ("a", "b", "c", "noop", "a", "d")] == ["a", "b", "other", "noop", "a", "other"]


def test_a_leader_counts_submits_and_transitions() -> None:
    metrics, leads = Metrics(), True
    meter = EventMeter(metrics, template_labels(), lambda: leads)
    submitted = moved(None, "QUEUED", "submitted", template="ml_training", **{"class": "high"})
    meter.heard(submitted)
    meter.heard(moved("QUEUED", "SCHEDULED", "placed"))
    meter.heard(Event("job.progress", {}))
    leads = False
    meter.heard(submitted)
    assert value(metrics, "jobs_submitted_total", **{"class": "high", "template": "ml_training"}) == 1
    assert value(metrics, "job_transitions_total", **{"from": "none", "to": "QUEUED", "reason": "submitted"}) == 1
    assert value(metrics, "job_transitions_total", **{"from": "QUEUED", "to": "SCHEDULED", "reason": "placed"}) == 1


def test_refusals_of_nodes_are_counted_as_they_grow() -> None:
    metrics = Metrics()
    meter = RefusalMeter(metrics)

    def said(times: int, since: Any = NOON) -> None:
        report = NodeReport(NOON, since, refused={"end": times})
        meter.heard([replace(a_node("n1"), report=report), a_node("n2")])

    said(5)
    assert value(metrics, "stale_writes_refused_total", kind="end") == 0, "what was before is nobody's to count"
    said(7)
    said(7)
    assert value(metrics, "stale_writes_refused_total", kind="end") == 2
    said(1, NOON + timedelta(hours=1))
    assert value(metrics, "stale_writes_refused_total", kind="end") == 2, "a restarted worker counts anew"
    meter.forget()
    said(9)
    assert value(metrics, "stale_writes_refused_total", kind="end") == 2


async def answering(answer: Any) -> Any:
    if isinstance(answer, BaseException):
        raise answer
    return answer


@pytest.mark.parametrize(
    ("answer", "took", "failed"),
    [
        (b"1", {"read"}, set()),
        (RedisAway("gone"), set(), {"connect"}),
        (ConnectionResetError(), set(), {"connect"}),
        (ResponseError("WRONGTYPE"), set(), {"read"}),
        (NoScriptError("NOSCRIPT"), set(), set()),
        (asyncio.CancelledError(), set(), set()),
    ],
)
async def test_what_a_store_answers_is_told(answer: Any, took: set[str], failed: set[str]) -> None:
    metrics = Metrics()
    call: Awaitable[Any] = observed(StoreMeter(metrics), "read", answering(answer))
    with pytest.raises(type(answer)) if isinstance(answer, BaseException) else nullcontext():
        await call
    operations = ("read", "connect")
    assert {
        o for o in operations if value(metrics, "store_operation_seconds_count", store="redis", operation=o)
    } == took
    assert {o for o in operations if value(metrics, "store_errors_total", store="redis", operation=o)} == failed


def test_what_a_lost_node_had_is_no_capacity() -> None:
    """It is remembered for a day: sums over nodes would hold machines that are gone."""
    metrics = Metrics()
    gauges = ClusterGauges(metrics, timedelta(seconds=60))
    nodes = [a_node("n1"), a_node("n2", state=NodeState.LOST), a_node("n3", state=NodeState.DRAINING)]
    snapshot = a_snapshot(nodes, [])
    gauges.show(snapshot, verdicts(snapshot), {})
    assert value(metrics, "nodes", state="LOST") == 1
    for name in ("resource_capacity", "resource_allocated", "resource_used"):
        shown = [value(metrics, name, node=node, resource="cpu_cores") for node in ("n1", "n2", "n3")]
        assert [each is not None for each in shown] == [True, False, True], name
    assert value(metrics, "node_lease_age_seconds", node="n2") is None
