"""What is answered about a window and as series, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.api.schemas.analytics import Analytics, AnalyticsTimeseries
from app.domain.analytics.failure_counts import OTHER
from app.domain.analytics.rollups import Gauge, Grain
from app.domain.calibration import Announcement, Calibration, learn
from app.domain.priority import Priority
from app.domain.records import RunSummary
from app.scheduler.rolling import Roller
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape
from tests.unit.domain.analytics.builders import a_failed_run, a_run, minutes

SEED = {
    "throughput": {"jobs_per_hour": 0, "avg_completion_time": 0, "queue_wait_time": 0},
    "resource_utilization": {"cpu_utilization": 0, "memory_utilization": 0, "gpu_utilization": 0},
    "success_metrics": {"success_rate": 0, "retry_rate": 0, "failure_analysis": []},
}
"""The shape that clients have always read."""


async def roll(api: Api, *runs: RunSummary) -> None:
    """These have ended, and the leader has counted them."""
    for run in runs:
        await api.services.runs.insert(run)
    api.clock.advance(1)
    assert await Roller(api.services, lambda _: None).roll(api.clock.now())


async def see(api: Api, ago: float, **gauges: float) -> None:
    at = Grain.MINUTE.floor(api.clock.now() - minutes(ago))
    await api.services.rollups.see(at, {name: Gauge(value) for name, value in gauges.items()}, at)


async def get(api: Api, path: str = "", **query: str) -> dict[str, Any]:
    answer = await api.client.get(f"/api/v1/analytics{path}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(api: Api, path: str = "", **query: str) -> list[tuple[str, str, str | None]]:
    answer = await api.client.get(f"/api/v1/analytics{path}", params=query)
    assert answer.status_code == 422, answer.text
    return [(e["path"], e["message"], e.get("nearest")) for e in answer.json()["errors"]]


async def test_of_an_idle_service_the_answer_is_the_one_of_the_contract(api: Api) -> None:
    found = await get(api)
    assert_shape(found, Analytics)
    assert {part: {name: found[part][name] for name in fields} for part, fields in SEED.items()} == SEED
    assert found["throughput"]["wait"] == {"mean": None, "p50": None, "p90": None, "p99": None}
    assert (found["window"]["seconds"], found["window"]["settled_to"]) == (86_400, None)


async def test_figures_of_what_ended_in_the_window(api: Api) -> None:
    now = api.clock.now()
    runs = [a_run(now - minutes(n), attempt=1 + (n == 3)) for n in range(1, 7)]
    await roll(api, *runs, a_failed_run(now), a_failed_run(now, ended_as=None), a_run(now - timedelta(hours=25)))
    found = await get(api, window="1h")
    assert_shape(found, Analytics)

    throughput = found["throughput"]
    hours = found["window"]["seconds"] / 3_600
    assert (throughput["completed_jobs"], throughput["ended_runs"]) == (6, 8)
    assert throughput["jobs_per_hour"] == pytest.approx(6 / hours, abs=1e-4)
    assert (throughput["avg_completion_time"], throughput["queue_wait_time"]) == (110.0, 10.0)
    assert throughput["run"]["p90"] == pytest.approx(100, rel=0.05)
    success = found["success_metrics"]
    assert (success["success_rate"], success["retry_rate"]) == (round(6 / 7, 4), round(1 / 7, 4))
    assert success["ended"] == {"COMPLETED": 6, "FAILED": 1, "TIMEOUT": 0, "CANCELLED": 0}
    used = found["resource_utilization"]["finished_runs"]
    assert (used["cpu_cores"]["used_share"], used["memory_gb"]["used_share"]) == (0.25, 0.5)
    assert used["gpu_count"]["used_hours"] is None
    assert (await get(api, window="2d"))["throughput"]["ended_runs"] == 9


async def test_failures_by_pattern_each_with_an_example(api: Api) -> None:
    now = api.clock.now()
    old, new = a_failed_run(now - minutes(5), template="train"), a_failed_run(now, template="train")
    rare = [a_failed_run(now - minutes(1), message=f"fault {letter}") for letter in "abcdefghijklmnopqrstuvw"]
    await roll(api, old, new, *rare)
    success = (await get(api, window="1h"))["success_metrics"]

    first = success["failure_analysis"][0]
    assert first == {
        "fingerprint": new.fingerprint, "type": "ValueError", "step": "train", "message": "it broke",
        "frame": "fit.py:fit", "outcome": "error", "template": "train", "runs": 2, "share": round(2 / 25, 4),
        "last_at": "2026-01-01T12:00:00.000Z", "example_job_id": new.job_id, "example_run_no": 1,
    }  # fmt: skip
    assert (len(success["failure_analysis"]), success["other_failures"], success["failed_runs"]) == (20, 4, 25)


async def test_groups_and_tenants(api: Api) -> None:
    now = api.clock.now()
    runs = [a_run(now, tenant="vision", template="a"), a_run(now, tenant="vision", template="b", algorithm=None)]
    await roll(api, *runs, a_failed_run(now, tenant="speech", priority=Priority.LOW, outcome="out_of_memory"))
    groups = (await get(api, window="1h"))["groups"]
    names = {by: [(g["name"], g["runs"]) for g in found] for by, found in groups.items()}
    assert names == {
        "class": [("high", 2), ("low", 1)],
        "template": [("a", 1), ("b", 1), ("train", 1)],
        "algorithm": [("svm", 2)],
        "tenant": [("vision", 2), ("speech", 1)],
    }
    low = groups["class"][1]
    assert (low["success_rate"], low["out_of_memory_rate"], low["completed_jobs"]) == (0.0, 1.0, 0)
    only = await get(api, window="1h", tenant="vision")
    assert (only["throughput"]["ended_runs"], [g["name"] for g in only["groups"]["tenant"]]) == (2, ["vision"])
    assert only["success_metrics"]["failure_analysis"] == []
    assert (await get(api, window="1h", tenant="nobody"))["throughput"]["ended_runs"] == 0


async def test_groups_beyond_what_a_rollup_tells_apart_are_one(api: Api) -> None:
    await roll(api, *(a_run(api.clock.now(), template=f"t{n}") for n in range(230)))
    templates = (await get(api, window="1h"))["groups"]["template"]
    assert sum(group["runs"] for group in templates) == 230
    assert (len(templates), templates[-1]["name"]) == (51, OTHER)


async def test_what_was_allocated_beside_what_was_used_and_what_jobs_waited_for(api: Api) -> None:
    for ago, cores, waiting in ((1, 16.0, 3.0), (2, 48.0, 0.0), (90, 64.0, 50.0)):
        await see(
            api, ago, ready_nodes=1, cpu_cores_capacity=64, cpu_cores_allocated=cores, cpu_cores_used=cores / 2,
            gpu_count_capacity=0, gpu_count_allocated=0, waiting_resources=waiting, waiting_held=1.0, waiting_quota=0.0,
        )  # fmt: skip
    found = await get(api, window="1h")
    utilization = found["resource_utilization"]
    assert (utilization["cpu_utilization"], utilization["gpu_utilization"], utilization["samples"]) == (0.5, 0, 2)
    assert utilization["pool"]["cpu_cores"] == {"capacity": 64, "allocated": 32, "used": 16, "utilization": 0.5}
    assert utilization["pool"]["memory_gb"]["utilization"] is None
    assert found["waits"] == [
        {"reason": "resources", "waiting_seconds": 180, "share": 0.6, "mean_jobs": 1.5},
        {"reason": "held", "waiting_seconds": 120, "share": 0.4, "mean_jobs": 1.0},
    ]


async def test_memory_beside_simple_rules(api: Api) -> None:
    await roll(api, *(a_run(api.clock.now() - minutes(n / 10)) for n in range(8)))
    sizing = (await get(api, window="1h"))["sizing"]
    assert (sizing["examined_runs"], sizing["compared_runs"]) == (8, 3)
    assert sizing["allocated"] == {"waste": 0.5, "out_of_memory_rate": 0.0}
    assert [(each["source"], each["runs"], each["waste"]) for each in sizing["sources"]] == [("unknown", 3, 0.5)]
    assert [rule["rule"] for rule in sizing["baselines"]] == ["window_maximum", "vpa_p90"]


@pytest.mark.parametrize("window", ["0h", "31d", "59m", "1w", "24", "", "1h;drop", "9" * 19 + "d"])
async def test_a_window_that_cannot_be_is_refused_with_the_remedy(api: Api, window: str) -> None:
    for path in ("", "/timeseries"):
        [(where, message, _)] = await refused(api, path, window=window)
        assert where == "window" and ("30d" in message or "7d" in message)


async def test_a_window_may_not_be_a_book_and_queries_are_known(api: Api) -> None:
    [(where, _, _)] = await refused(api, window="1" * 10_000)
    assert where == "window"
    [(where, _, _)] = await refused(api, tenant="")
    assert where == "tenant", "nobody is everyone"
    [(where, _, nearest)] = await refused(api, windw="1h")
    assert (where, nearest) == ("windw", "window")


async def test_series_in_steps_with_gaps(api: Api) -> None:
    await roll(api, a_run(api.clock.now() - minutes(3)), a_run(api.clock.now() - minutes(4)))
    for ago, length in ((1, 2.0), (3, 4.0), (4, 8.0)):
        await see(api, ago, queue_length=length)
    found = await get(api, "/timeseries", window="1h", step="5m", metrics="queue_length,completed_jobs")
    assert_shape(found, AnalyticsTimeseries)
    assert (found["step_seconds"], len(found["times"])) == (300, 13)
    assert found["times"][-2:] == ["2026-01-01T11:55:00.000Z", "2026-01-01T12:00:00.000Z"]
    lengths, completed = found["series"]
    assert (lengths["metric"], lengths["unit"], completed["metric"]) == ("queue_length", "jobs", "completed_jobs")
    assert lengths["values"] == [*[None] * 11, round(14 / 3, 4), None]
    assert completed["values"] == [*[None] * 11, 2, None]


async def test_series_without_names_are_the_most_telling_ones(api: Api) -> None:
    await see(api, 1, queue_length=3)
    found = await get(api, "/timeseries")
    assert_shape(found, AnalyticsTimeseries)
    assert len(found["times"]) <= 301
    assert [s["metric"] for s in found["series"]][:3] == ["queue_length", "running_jobs", "oldest_wait"]
    assert all(len(s["values"]) == len(found["times"]) for s in found["series"])


async def test_long_windows_are_read_from_hours_and_days(api: Api) -> None:
    now = api.clock.now()
    await roll(api, *(a_run(now - timedelta(hours=7 * n)) for n in range(100)))
    found = await get(api, "/timeseries", window="30d", step="1d", metrics="completed_jobs")
    values = found["series"][0]["values"]
    assert sum(v for v in values if v is not None) == 100 and len(values) == 31
    overview = await get(api, window="30d")
    assert overview["throughput"]["completed_jobs"] == 100


async def test_a_series_or_step_that_cannot_be_is_refused(api: Api) -> None:
    [(where, message, nearest)] = await refused(api, "/timeseries", metrics="queue_lenght")
    assert (where, nearest) == ("metrics", "queue_length") and "did you mean" in message
    [(where, _, _)] = await refused(api, "/timeseries", window="2d", step="1m")
    assert where == "step"
    [(where, _, _)] = await refused(api, "/timeseries", metrics=",".join(f"m{n}" for n in range(1_000)))
    assert where == "metrics"


async def estimates(api: Api) -> dict[str, Any]:
    return dict((await get(api))["start_estimates"])


async def test_before_any_start_there_is_nothing_to_tell() -> None:
    async with running_api() as api:
        found = await estimates(api)

    assert (found["scored"], found["inside"], found["pinball_ratio"], found["outcomes"]) == (0, None, None, [])


async def test_outcomes_by_class_and_length_of_the_wait() -> None:
    said = Announcement(Priority.URGENT, 0.0, 700.0, 500.0, 900.0, 300.0)
    calibration = Calibration()
    for actual in (600.0, 650.0, 100.0, 2_000.0):
        calibration = learn(calibration, said, actual)
    calibration = learn(calibration, said.because("reordered"), 1.0)
    async with running_api() as api:
        await api.services.scheduler.keep_calibration(calibration, 1)
        found = await estimates(api)

    assert (found["scored"], found["inside"], found["early"], found["late"]) == (4, 0.5, 0.25, 0.25)
    assert found["outcomes"] == [
        {
            "class": "urgent",
            "predicted_wait": "< 1 h",
            "results": {"early": 1, "inside": 2, "late": 1, "reordered": 1},
        }
    ]
