"""Why, and what if, over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.job import JobError
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.ports import node_lease
from app.domain.resources import Vector, total
from app.domain.transitions import RunEnd, fail, place, start
from app.metrics import Metrics
from app.operations.queue_pause import pause_queue
from app.scheduler.cycle import Cycle
from app.scheduler.replaying import replay
from tests.support.leases import taken
from tests.unit.api.harness import Api, running_api

KINDS = '{"big": {"cpu_cores": 16, "memory_gb": 64, "gpu_count": 2, "labels": {"zone": "a"}}}'


async def add_node(api: Api, name: str = "node-1", *held: Allocation) -> None:
    """A node of 8 cores and 32 GB."""
    capacity = Vector(8_000, 32_768, 0, 100)
    free = capacity - total([a.vector for a in held])
    await taken(api.services.leases, node_lease(name), name, timedelta(hours=1))
    await api.services.nodes.register(Node(name, NodeState.READY, 1, {}, capacity, free, False, held))


async def explained(api: Api, job_id: str) -> dict[str, Any]:
    answer = await api.client.get(f"/api/v1/jobs/{job_id}/explain")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def what_if(api: Api, *changes: dict[str, Any]) -> dict[str, Any]:
    answer = await api.client.post("/api/v1/queue/what-if", json={"changes": list(changes)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def errors(api: Api, body: Any) -> dict[str, str]:
    answer = await api.client.post("/api/v1/queue/what-if", json=body)
    assert answer.status_code == 422, answer.text
    return {e["path"]: e["message"] for e in answer.json()["errors"]}


def codes(found: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in found["reasons"]]


async def test_without_a_worker_one_is_to_be_started(api: Api) -> None:
    job_id = await api.submit()

    found = await explained(api, job_id)

    assert found["status"] == "QUEUED"
    assert codes(found) == ["no_workers", "position"]
    assert found["reasons"][0]["remedies"][0]["command"] == "tensorfleet worker"
    [change] = found["changes"]
    assert change["change"].startswith("one more node with cpu_cores 0.1, memory_gb")


async def test_the_named_change_has_exactly_that_job_start() -> None:
    async with running_api(NODE_TYPES=KINDS) as api:
        await add_node(api)
        job_id = await api.submit(node_selector={"zone": "a"})
        await api.submit(node_selector={"zone": "b"})

        found = await explained(api, job_id)
        done = await what_if(api, {"op": "add_nodes", "type": "big"})

        assert codes(found) == ["node_selector", "position"]
        assert {c["change"] for c in found["changes"]} == {"no node_selector zone=a", "one more node big"}
        assert done["starts_now"] == [job_id]
        assert (done["examined"], done["waiting"]) == (2, 2)


async def test_a_full_cluster_is_told_with_what_is_short(api: Api) -> None:
    await add_node(api)
    first, second = [await api.submit(resources={"cpu_cores": 8, "memory_gb": 4}) for _ in range(2)]

    assert codes(await explained(api, first)) == ["position"]
    found = await explained(api, second)

    assert codes(found) == ["resources", "position"]
    assert found["reasons"][0]["facts"]["cpu_cores_short"] == 8
    assert "position 1 of its class" in {c["change"] for c in found["changes"]}


async def test_a_paused_queue_decides_and_nothing_else_is_tried(api: Api) -> None:
    await add_node(api)
    job_id = await api.submit()
    await pause_queue(api.services, "ann", "maintenance")

    found = await explained(api, job_id)

    assert codes(found)[0] == "queue_paused"
    assert found["reasons"][0]["remedies"][0]["command"].endswith("/api/v1/queue/resume")
    assert found["changes"] == []


async def test_a_failure_is_told_with_what_helps(api: Api) -> None:
    job = await api.job(await api.submit())
    stamp = api.services.stamp
    job = await api.commit(job, place(job, "node-1", (), stamp()))
    job = await api.commit(job, start(job, stamp()))
    assert codes(await explained(api, job.id)) == ["running"]
    end = RunEnd(error=JobError("out_of_memory", "killed", "training", signal=9))
    await api.commit(job, fail(job, "out_of_memory", end, stamp()))

    [reason] = (await explained(api, job.id))["reasons"]

    assert (reason["code"], reason["summary"]) == ("out_of_memory", "step training: killed")
    assert reason["facts"]["signal"] == 9
    assert reason["remedies"][0]["code"] == "retry"
    assert f"/api/v1/jobs/{job.id}/retry" in reason["remedies"][0]["command"]


async def test_an_unknown_job_is_not_explained(api: Api) -> None:
    assert (await api.client.get("/api/v1/jobs/job_nowhere/explain")).status_code == 404


async def test_every_kind_of_change_is_taken(api: Api) -> None:
    await add_node(api)
    first, second = [await api.submit(resources={"cpu_cores": 8, "memory_gb": 4}) for _ in range(2)]

    more = await what_if(api, {"op": "add_job", "job": {"template": "noop", "priority": "urgent"}})
    gone = await what_if(api, {"op": "cancel", "job_id": first})
    up = await what_if(api, {"op": "priority", "job_id": second, "priority": "urgent"})
    less = await what_if(
        api,
        {"op": "resources", "job_id": first, "resources": {"cpu_cores": 4}},
        {"op": "resources", "job_id": second, "resources": {"cpu_cores": 4}},
    )
    none = await what_if(api, {"op": "drain_node", "node_id": "node-1"})

    assert more["starts_now"] == ["added_0"]
    assert gone["starts_now"] == up["starts_now"] == less["starts_now"] == [second]
    assert none["starts_now"] == []
    assert next(j for j in none["jobs"] if j["job_id"] == first)["after"]["starts_at"] is None
    assert [(await api.job(j)).seq for j in (first, second)] == [1, 1], "nothing was stored"


async def test_what_cannot_be_supposed_is_named_by_its_path(api: Api) -> None:
    job_id = await api.submit()
    changes = [
        {"op": "cancel"},
        {"op": "priority", "job_id": job_id, "priority": "low", "count": 2},
        {"op": "add_job", "job": {"template": "nope"}},
        {"op": "resources", "job_id": job_id, "resources": {"cpu_cores": -1}},
    ]

    found = await errors(api, {"changes": changes})

    assert list(found) == [
        "changes[0].job_id",
        "changes[1].count",
        "changes[2].job.template",
        "changes[3].resources.cpu_cores",
    ]
    assert found["changes[0].job_id"] == "is required for cancel"
    unknown = await errors(
        api, {"changes": [{"op": "drain_node", "node_id": "x"}, {"op": "cancel", "job_id": "job_x"}]}
    )
    assert list(unknown) == ["changes[0].node_id", "changes[1].job_id"]


@pytest.mark.parametrize("count", [0, 101, 1_000])
async def test_none_and_too_many_changes_are_refused(api: Api, count: int) -> None:
    assert list(await errors(api, {"changes": [{"op": "cancel", "job_id": "job_x"}] * count})) == ["changes"]


async def test_decisions_are_listed_and_given_with_their_snapshot(api: Api) -> None:
    await add_node(api)
    job_id = await api.submit()
    cycle = Cycle(api.services, Metrics("test"))
    await cycle.run_once(1)
    await cycle.recorder.settled()

    [listed] = (await api.client.get("/api/v1/decisions", params={"limit": 5})).json()["decisions"]
    record = (await api.client.get(f"/api/v1/decisions/{listed['decision_id']}")).json()

    assert [p["job_id"] for p in listed["placements"]] == [job_id]
    assert record["snapshot"]["nodes"][0]["id"] == "node-1"
    assert replay(record).differences == ()
    assert (await api.client.get("/api/v1/decisions/cycle_0_0")).status_code == 404
