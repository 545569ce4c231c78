"""The collectors: valid names, one registry each, rendered as text."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics

NAME = re.compile(r"tensorfleet_[a-z]+(_[a-z]+)*")
PROMISED = {
    "jobs_submitted", "job_transitions", "queue_jobs", "waiting_jobs", "resource_capacity", "resource_allocated",
    "nodes",
    "leaked_allocations", "scheduler_cycle_seconds", "scheduler_leader", "scheduler_last_cycle_timestamp_seconds",
    "index_repairs", "dispatch_redelivered", "stale_writes_refused", "documents_quarantined", "store_errors",
    "stream_subscribers", "stream_resyncs", "http_request_duration_seconds", "build_info",
}  # fmt: skip


def families(metrics: Metrics) -> dict[str, object]:
    return {f.name: f for f in text_string_to_metric_families(metrics.render().decode())}


def test_every_promised_metric_is_there_under_a_valid_name_and_explained() -> None:
    found = families(Metrics("1.2.3"))

    assert {f"tensorfleet_{name}" for name in PROMISED} <= found.keys()
    assert all(NAME.fullmatch(name) for name in found)
    assert all(family.documentation for family in found.values())  # type: ignore[attr-defined]


def test_no_label_can_hold_a_job() -> None:
    labels = {name for collector in vars(Metrics()).values() for name in getattr(collector, "_labelnames", ())}

    assert labels
    assert not labels & {"job", "job_id", "name", "tag", "id"}


def test_two_in_one_process_do_not_meet() -> None:
    first, second = Metrics("1"), Metrics("2")
    first.leader.set(1)

    assert second.registry.get_sample_value("tensorfleet_scheduler_leader") == 0
    assert first.registry.get_sample_value("tensorfleet_build_info", {"version": "1"}) == 1
    assert first.registry.get_sample_value("tensorfleet_build_info", {"version": "2"}) is None
