"""What is measured of a live service: metrics, analytics and series, with two schedulers of which one leads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.processes import Api, api, worker
from tests.support.wait import until
from tests.unit.test_metrics import PROMISED

pytestmark = pytest.mark.asyncio(loop_scope="module")
BURN = "import os, sys\nwhile not os.path.exists(sys.argv[1]): pass"
COUNTED = 120.0
"""Seconds in which what ended is counted: the leader does so every ten."""
Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("measured")


@pytest.fixture(scope="module")
def env(home: Path, servers: Endpoints) -> dict[str, str]:
    """A beat a second, so that what runs use is seen while they run."""
    found = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"measured_{os.getpid()}", home)
    return found | {"LEASE_BEAT_SECONDS": "1"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(home: Path, env: dict[str, str]) -> AsyncIterator[list[Api]]:
    """The one that leads, and the one that stands by."""
    async with api(home, env) as first, api(home, env) as second, worker(home, env, first):
        yield [first, second]


async def scrape(served: Api) -> Samples:
    text = (await served.client.get("/metrics")).text
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric over what these labels leave open."""
    found = samples.get(f"tensorfleet_{name}", [])
    return sum(value for of, value in found if labels.items() <= of.items())


async def run_to_end(served: Api, script: str, **fields: Any) -> dict[str, Any]:
    body = {"template": "command", "parameters": {"command": ["python", "-c", script]}, **fields}
    return await served.ended((await served.submit(body))["job_id"])


async def analytics(served: Api, path: str = "", **query: str) -> dict[str, Any]:
    answer = await served.client.get(f"/api/v1/analytics{path}", params={"window": "1h", **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ended_runs(served: Api, wanted: int) -> dict[str, Any]:
    async def counted() -> dict[str, Any] | None:
        found = await analytics(served)
        return found if found["throughput"]["ended_runs"] >= wanted else None

    found = await until(counted, COUNTED, every=0.5)
    assert found is not None
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(both: list[Api], home: Path) -> list[Api]:
    """Both, when a job has completed and another failed."""
    (leader, standby), enough = both, home / "enough"
    command = ["python", "-c", BURN, str(enough)]
    burning = await leader.submit({"template": "command", "parameters": {"command": command}})

    async def used() -> bool:
        return total(await scrape(leader), "resource_used", resource="cpu_cores", node="node-1") > 0

    assert await until(used, every=0.2), "cores and memory in use are shown while the job runs"
    enough.touch()
    assert (await leader.ended(burning["job_id"]))["status"] == "COMPLETED"
    ended = await run_to_end(standby, "raise SystemExit('no column ' + str(7))", retry_policy={"max_attempts": 1})
    assert ended["status"] == "FAILED"
    return both


async def test_every_promised_metric_is_in_a_live_scrape_with_what_happened(ran: list[Api]) -> None:
    leader = ran[0]

    async def observed() -> Samples | None:
        found = await scrape(leader)
        return found if total(found, "job_run_seconds_count") >= 2 else None

    samples = await until(observed, COUNTED, every=0.5)
    assert samples is not None
    empty = {name for name, (kind, _) in PROMISED.items() if not _samples(samples, name, kind)}
    assert empty == set()
    assert total(samples, "jobs_submitted_total", template="command", **{"class": "normal"}) == 2
    assert total(samples, "job_transitions_total", to="RUNNING", reason="started") == 2
    assert total(samples, "job_transitions_total", to="FAILED", reason="error") == 1
    assert total(samples, "job_run_seconds_count", template="command", result="error") == 1
    assert total(samples, "job_wait_seconds_count", **{"class": "normal"}) == 2
    assert total(samples, "nodes", state="READY") == 1
    assert total(samples, "resource_capacity", node="node-1", resource="cpu_cores") == 64
    assert 0 <= total(samples, "node_lease_age_seconds", node="node-1") < 60
    assert total(samples, "store_operation_seconds_count", store="mongo", operation="find") > 0
    assert total(samples, "store_operation_seconds_count", store="redis", operation="script") > 0


def _samples(samples: Samples, name: str, kind: str) -> list[Any]:
    return samples.get(f"tensorfleet_{name}{'_count' if kind == 'histogram' else ''}", [])


async def test_what_is_of_the_cluster_is_shown_by_the_leader_alone(ran: list[Api]) -> None:
    async def observed() -> bool:
        return total(await scrape(ran[0]), "job_run_seconds_count") > 0

    await until(observed, COUNTED, every=0.5)
    leader, standby = [await scrape(served) for served in ran]
    assert (total(leader, "scheduler_leader"), total(standby, "scheduler_leader")) == (1, 0)
    for name in ("queue_jobs", "nodes", "resource_capacity", "resource_used", "queue_oldest_wait_seconds"):
        assert _samples(leader, name, "gauge") and not _samples(standby, name, "gauge"), name
    for name in ("jobs_submitted_total", "job_transitions_total", "job_run_seconds_count"):
        assert total(leader, name) > 0 and total(standby, name) == 0, name


async def test_analytics_tell_of_these_jobs_on_both(ran: list[Api]) -> None:
    for served in ran:
        found = await ended_runs(served, 2)
        success, [failure] = found["success_metrics"], found["success_metrics"]["failure_analysis"]
        assert (success["success_rate"], success["jobs"]) == (0.5, 2)
        assert (failure["type"], failure["runs"], failure["share"]) == ("exit 1", 1, 1.0)
        assert "no column #" in failure["message"]
        job = await served.job(failure["example_job_id"])
        assert job["error"]["fingerprint"] == failure["fingerprint"]
        [group] = found["groups"]["template"]
        assert (group["name"], group["runs"]) == ("command", 2)
        assert found["resource_utilization"]["finished_runs"]["cpu_cores"]["used_share"] > 0
        assert 0 < found["resource_utilization"]["pool"]["cpu_cores"]["capacity"] <= 64


async def test_series_tell_what_was_seen_and_what_ended(ran: list[Api]) -> None:
    await ended_runs(ran[1], 2)

    async def values() -> list[list[float]]:
        asked = {"step": "1h", "metrics": "completed_jobs,failed_jobs,cpu_cores_capacity"}
        found = await analytics(ran[1], "/timeseries", **asked)
        told = [[v for v in series["values"] if v is not None] for series in found["series"]]
        return told if told[2] else []

    completed, failed, capacity = await until(values, COUNTED, every=0.5)
    assert (sum(completed), sum(failed)) == (1, 1)
    assert 0 < max(capacity) <= 64


async def test_a_new_leader_goes_on_and_counts_nothing_twice(ran: list[Api]) -> None:
    leader, standby = ran
    await leader.process.kill()

    async def leads() -> bool:
        return total(await scrape(standby), "nodes", state="READY") == 1

    assert await until(leads, every=0.2)
    assert (await run_to_end(standby, "print(1)"))["status"] == "COMPLETED"
    found = await ended_runs(standby, 3)
    assert found["throughput"]["ended_runs"] == 3
    assert found["success_metrics"]["ended"]["COMPLETED"] == 2
    samples = await scrape(standby)
    assert total(samples, "jobs_submitted_total") == 1, "it counts from when it leads"
