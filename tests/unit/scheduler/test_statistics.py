"""What the leader sees of queue and nodes once a minute, and what it counts of runs that ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.agreement import FACT, told
from app.config import load_settings
from app.domain import control_transitions
from app.domain.analytics.breakdown import EVERYONE
from app.domain.analytics.rollups import Gauge, Grain
from app.domain.analytics.series import SAMPLED
from app.domain.analytics.windows import Span
from app.domain.errors import Unavailable
from app.domain.explain import WAIT_CODES
from app.domain.nodes import NodeReport, NodeState
from app.domain.priority import Priority
from app.domain.transitions import RunEnd, complete, start
from app.metering import RunMeter, template_labels
from app.operations.change import transition
from app.scheduler.sampling import sample
from app.scheduler.statistics import Statistics
from tests.unit.domain.analytics.builders import a_run, minutes
from tests.unit.domain.builders import NOW, a_job
from tests.unit.scheduler.cluster import Cluster


async def seen(cluster: Cluster) -> dict[str, float]:
    return await sample(cluster.services, cluster.clock.now())


async def test_every_gauge_of_the_catalogue_is_seen_on_an_empty_cluster() -> None:
    found = await seen(Cluster())
    assert set(found) == set(SAMPLED)
    assert set(found.values()) == {0}


async def test_settings_that_a_worker_was_given_otherwise_are_told_once() -> None:
    cluster = Cluster()
    await cluster.add_node("other")
    node = await cluster.services.nodes.get("other")
    assert node is not None
    lost = replace(node, id="lost", state=NodeState.LOST)
    for each in (node, lost):
        facts = {FACT: told(load_settings({"JOB_TIMEOUT": "61", "RETRY_ATTEMPTS": "9"}))}
        await cluster.services.nodes.register(replace(each, facts=facts))
    with capture_logs() as logs:
        for _ in range(3):
            await seen(cluster)
    [said] = [entry for entry in logs if entry["event"] == "settings.differ"]
    assert (said["node_id"], said["names"]) == ("other", ["JOB_TIMEOUT", "RETRY_ATTEMPTS"])


async def test_jobs_by_state_class_and_reason_and_the_oldest_wait() -> None:
    cluster = Cluster()
    await cluster.add_node(cores=2)
    first = await cluster.add(a_job(resources={"cpu_cores": 2, "memory_gb": 1}, priority=Priority.HIGH).queued())
    await cluster.cycle.run_once()
    await cluster.run_to_end(first.id)
    running = await cluster.add(a_job(resources={"cpu_cores": 2, "memory_gb": 1}).queued())
    await cluster.cycle.run_once()
    await cluster.add(a_job(resources={"cpu_cores": 2, "memory_gb": 1}).queued())
    await cluster.add(a_job(resources={"cpu_cores": 9, "memory_gb": 1}, priority=Priority.URGENT).queued())
    await cluster.add(a_job(eligible=False, dependencies=(running.id,)))
    await cluster.add(a_job(eligible=False, start_after=NOW + timedelta(hours=1)))
    await cluster.add(a_job().retrying())
    held = await cluster.add(a_job())
    await transition(cluster.services, held.id, lambda j, s: control_transitions.hold(j, s, None), "ann")
    cluster.cycle.publisher.withdraw()  # so that the next cycle tells at once
    await cluster.cycle.run_once()
    cluster.clock.advance(120)
    found = await seen(cluster)

    counts = ("scheduled_jobs", "pending_jobs", "paused_jobs", "queue_length", "queue_length_urgent", "ready_nodes")
    assert {name: found[name] for name in counts} == {
        "scheduled_jobs": 1, "pending_jobs": 3, "paused_jobs": 1, "queue_length": 2, "queue_length_urgent": 1,
        "ready_nodes": 1,
    }  # fmt: skip
    waiting = {code: found[f"waiting_{code}"] for code in WAIT_CODES if found[f"waiting_{code}"]}
    assert waiting == {
        "resources": 1, "unsatisfiable": 1, "dependencies": 1, "start_time": 1, "retry_delay": 1, "held": 1,
    }  # fmt: skip
    assert (found["cpu_cores_capacity"], found["cpu_cores_allocated"], found["memory_gb_allocated"]) == (2, 2, 1)
    assert found["oldest_wait"] >= 120 and found["oldest_wait_urgent"] >= 120 and found["oldest_wait_low"] == 0


async def test_what_nodes_use_counts_while_they_say_so() -> None:
    cluster = Cluster()
    node, lost = await cluster.add_node("n1"), await cluster.add_node("n2")
    for each in (node, lost):
        report = NodeReport(cluster.clock.now(), NOW, 1.5, 2_048.0)
        await cluster.nodes.report(each.id, report, each.epoch)
    await cluster.nodes.set_state(lost.id, NodeState.LOST, "gone", NOW)
    found = await seen(cluster)
    assert (found["cpu_cores_used"], found["memory_gb_used"], found["cpu_cores_capacity"]) == (1.5, 2.0, 8)
    await cluster.nodes.report("n1", NodeReport(NOW, NOW, 7.0), epoch=9)
    assert (await seen(cluster))["cpu_cores_used"] == 1.5, "of another epoch"
    cluster.clock.advance(2 * cluster.services.settings.lease.duration + timedelta(seconds=1))
    assert (await seen(cluster))["cpu_cores_used"] == 0


async def test_without_the_index_a_gap_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    await cluster.add_node()

    async def away() -> None:
        raise Unavailable("Redis")

    monkeypatch.setattr(cluster.queue, "heads", away)
    found = await seen(cluster)
    assert found["ready_nodes"] == 1
    assert not [name for name in found if name.startswith(("queue_", "waiting_"))]


class Leading:
    """A leader's statistics over a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.statistics = Statistics(cluster.services, RunMeter(cluster.metrics, template_labels()))

    async def round(self, term: int = 1, later: float = 0) -> None:
        self.cluster.clock.advance(later)
        await self.statistics.run_once(term)

    async def looks(self) -> dict[int, Gauge]:
        """`running_jobs` by the minute since the start."""
        span = Span(Grain.MINUTE, NOW - minutes(1), NOW + minutes(60))
        found = await self.cluster.rollups.read([span], EVERYONE, ("running_jobs",))
        start = Grain.MINUTE.floor(NOW)
        return {(r.at - start) // minutes(1): r.gauges["running_jobs"] for r in found if r.gauges}

    def observed(self, name: str, **labels: str) -> float:
        return self.cluster.metric(f"{name}_count", **labels)


async def test_it_looks_once_a_minute_and_a_change_of_leader_adds_none() -> None:
    first = Leading(Cluster())
    for _ in range(4):
        await first.round(later=10)
    assert await first.looks() == {0: Gauge(0.0)}
    [running] = await first.cluster.add_many(1)
    await first.cluster.add_node()
    await first.cluster.cycle.run_once()
    await transition(first.cluster.services, running.id, start)
    await first.round(later=1)
    assert await first.looks() == {0: Gauge(1.0)}, "in its first minute it looks again"
    await transition(first.cluster.services, running.id, lambda j, s: complete(j, RunEnd(result={}), s))
    await first.round(later=1)
    await Leading(first.cluster).round(term=2, later=10)
    assert await first.looks() == {0: Gauge(0.0)}
    await first.round(term=2, later=120)
    assert await first.looks() == {0: Gauge(0.0), 2: Gauge(0.0)}, "a minute without a leader has no look"


async def test_after_its_first_minute_it_looks_once_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    leading, looks = Leading(Cluster()), []
    see = leading.cluster.rollups.see

    async def counted(at: datetime, *rest: Any) -> None:
        looks.append(at)
        await see(at, *rest)

    monkeypatch.setattr(leading.cluster.rollups, "see", counted)
    for _ in range(18):
        await leading.round(later=10)
    start = Grain.MINUTE.floor(NOW)
    assert [(at - start) // minutes(1) for at in looks] == [0, 0, 0, 0, 0, 1, 2, 3]


async def test_each_run_is_observed_once_by_who_leads_when_it_ends() -> None:
    leading = Leading(Cluster())
    clock, runs = leading.cluster.clock, leading.cluster.runs
    await runs.insert(a_run(clock.now() - minutes(1)))
    await leading.round()
    assert leading.observed("job_wait_seconds", **{"class": "high"}) == 0, "it ended before this one led"
    await runs.insert(a_run(clock.advance(1), template="ml_training", steps=(("model_training", 4.0), ("mine", 1.0))))
    for _ in range(3):
        await leading.round(later=10)
    assert leading.observed("job_wait_seconds", **{"class": "high"}) == 1
    assert leading.observed("job_run_seconds", template="ml_training", result="completed") == 1
    assert leading.observed("step_run_seconds", template="ml_training", step="model_training") == 1
    await leading.round(term=3)
    assert leading.observed("job_wait_seconds", **{"class": "high"}) == 1


async def test_templates_that_are_used_most_are_told_apart_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.metering.MOST_TEMPLATES", 1)
    cluster = Cluster()
    for template in ("rare", "often", "often"):
        await cluster.runs.insert(a_run(cluster.clock.now() - minutes(1), template=template))
    await Leading(cluster).round()
    later = Leading(cluster)
    await later.round(term=2, later=10)
    for template in ("rare", "often", "noop"):
        await cluster.runs.insert(a_run(cluster.clock.now(), template=template))
    await later.round(term=2, later=1)
    counts = {t: later.observed("job_run_seconds", template=t, result="completed") for t in ("often", "noop", "other")}
    assert counts == {"often": 1, "noop": 1, "other": 1}
