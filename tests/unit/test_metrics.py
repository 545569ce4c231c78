"""The collectors: valid names, the promised labels, one registry each, rendered as text and described in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.dev.pages import PAGES
from app.metrics import FAST, SLOW, Metrics

NAME = re.compile(r"tensorfleet_[a-z]+(_[a-z]+)*")
PROMISED: dict[str, tuple[str, set[str]]] = {
    "jobs_submitted_total": ("counter", {"class", "template"}),
    "job_transitions_total": ("counter", {"from", "to", "reason"}),
    "queue_jobs": ("gauge", {"class"}),
    "queue_oldest_wait_seconds": ("gauge", {"class"}),
    "waiting_jobs": ("gauge", {"reason"}),
    "job_wait_seconds": ("histogram", {"class"}),
    "job_run_seconds": ("histogram", {"template", "result"}),
    "step_run_seconds": ("histogram", {"template", "step"}),
    "start_estimate_hits_total": ("counter", {"class", "band", "result"}),
    "resource_capacity": ("gauge", {"node", "resource"}),
    "resource_allocated": ("gauge", {"node", "resource"}),
    "resource_used": ("gauge", {"node", "resource"}),
    "node_lease_age_seconds": ("gauge", {"node"}),
    "nodes": ("gauge", {"state"}),
    "leaked_allocations": ("gauge", set()),
    "scheduler_cycle_seconds": ("histogram", {"phase"}),
    "scheduler_leader": ("gauge", set()),
    "scheduler_last_cycle_timestamp_seconds": ("gauge", set()),
    "index_repairs_total": ("counter", {"kind"}),
    "dispatch_redelivered_total": ("counter", {"kind"}),
    "stale_writes_refused_total": ("counter", {"kind"}),
    "documents_quarantined_total": ("counter", {"kind"}),
    "store_operation_seconds": ("histogram", {"store", "operation"}),
    "store_errors_total": ("counter", {"store", "operation"}),
    "stream_subscribers": ("gauge", set()),
    "stream_resyncs_total": ("counter", {"cause"}),
    "webhook_deliveries_total": ("counter", {"result"}),
    "http_request_duration_seconds": ("histogram", {"operation", "code"}),
    "build_info": ("gauge", {"version"}),
}
"""What is promised to those on call, with types and labels."""


def test_every_promised_metric_is_there_with_its_type_and_labels() -> None:
    described = {d.name.removeprefix("tensorfleet_"): (d.kind, set(d.labels)) for d in Metrics().described}

    assert {name: described.get(name) for name in PROMISED} == PROMISED


def test_all_are_rendered_under_valid_names_and_explained() -> None:
    metrics = Metrics("1.2.3")
    found = {f.name: f for f in text_string_to_metric_families(metrics.render().decode())}

    assert {d.name.removesuffix("_total") for d in metrics.described} == set(found)
    assert all(NAME.fullmatch(name) for name in found)
    assert all(family.documentation for family in found.values())


def test_waits_and_runs_are_told_from_a_second_to_two_days() -> None:
    buckets = {d.name: d.buckets for d in Metrics().described}

    assert (SLOW[0], SLOW[-1]) == (1, 172_800)
    for name in ("job_wait_seconds", "job_run_seconds", "step_run_seconds"):
        assert buckets[f"tensorfleet_{name}"] == SLOW
    assert buckets["tensorfleet_store_operation_seconds"] == FAST


def test_no_label_can_hold_a_job() -> None:
    labels = {label for metric in Metrics().described for label in metric.labels}

    assert labels
    assert not labels & {"job", "job_id", "name", "tag", "id", "tenant"}


def test_two_in_one_process_do_not_meet() -> None:
    first, second = Metrics("1"), Metrics("2")
    first.leader.set(1)

    assert second.registry.get_sample_value("tensorfleet_scheduler_leader") == 0
    assert first.registry.get_sample_value("tensorfleet_build_info", {"version": "1"}) == 1
    assert first.registry.get_sample_value("tensorfleet_build_info", {"version": "2"}) is None


def test_who_leads_no_more_shows_no_gauge_of_the_cluster() -> None:
    metrics = Metrics()
    gauges = [d.name for d in metrics.described if d.leader and d.kind == "gauge" and d.labels]
    collectors = [metrics.queue_jobs, metrics.oldest_wait, metrics.waiting_jobs, metrics.nodes, metrics.lease_age]
    collectors += [metrics.capacity_nodes, metrics.capacity_cost]
    for gauge in (*collectors, metrics.resource_capacity, metrics.resource_allocated, metrics.resource_used):
        gauge.labels(*("x" for _ in gauge._labelnames)).set(1)
    shown = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert set(gauges) <= shown

    metrics.forget_cluster()
    shown = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert not set(gauges) & shown


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_pages_are_the_committed_ones(name: str) -> None:
    committed = Path(__file__).parents[2] / "docs" / name
    assert committed.read_text() == PAGES[name](), "run `make docs`"
