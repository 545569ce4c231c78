"""Resources and nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.agreement import FACT, told
from app.api.schemas import cluster as shapes
from app.config import load_settings
from app.domain.nodes import Allocation, Node, NodeState
from app.domain.ports import ROOM_BELL, node_bell
from app.domain.resources import Vector
from tests.contract.stores.test_runs import RUN
from tests.support.clock import NOON
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

POOL = Vector.from_units({"cpu_cores": 8, "memory_gb": 16, "gpu_count": 2, "storage_gb": 100})
HELD = Vector.from_units({"cpu_cores": 2, "memory_gb": 4, "gpu_count": 1})


def a_node(node_id: str, state: NodeState = NodeState.READY, *held: Allocation) -> Node:
    free = POOL
    for allocation in held:
        free = free - allocation.vector
    return Node(node_id, state, 1, {"zone": "a"}, POOL, free, True, held, {"python": "3.11"}, NOON)


async def with_nodes(api: Api) -> None:
    for node in (a_node("node-a"), a_node("node-b"), a_node("node-c")):
        await api.services.nodes.register(node)
    assert await api.services.nodes.reserve("node-a", [Allocation("job_1", 2, HELD, (0,))])
    assert await api.services.nodes.set_state("node-b", NodeState.DRAINING, "drained", NOON)
    assert await api.services.nodes.set_state("node-c", NodeState.LOST, "lease ended", NOON)


async def test_availability_leaves_out_what_a_new_job_cannot_have(api: Api) -> None:
    await with_nodes(api)
    body = (await api.client.get("/api/v1/resources/availability")).json()
    assert_shape(body, shapes.ResourceAvailability)
    assert body["total"] == {"cpu_cores": 16, "memory_gb": 32, "gpu_count": 4, "storage_gb": 200}
    assert body["allocated"] == {"cpu_cores": 2, "memory_gb": 4, "gpu_count": 1, "storage_gb": 0}
    assert body["available"] == {"cpu_cores": 6, "memory_gb": 12, "gpu_count": 1, "storage_gb": 100}
    assert {n["node_id"]: n["available"]["cpu_cores"] for n in body["nodes"]} == {"node-a": 6, "node-b": 0, "node-c": 0}


async def test_nodes_say_what_they_run(api: Api) -> None:
    await with_nodes(api)
    body = (await api.client.get("/api/v1/nodes")).json()
    assert_shape(body, shapes.NodeList)
    [run] = body["nodes"][0]["allocations"]
    assert (run["job_id"], run["run_no"], run["gpu_indices"]) == ("job_1", 2, [0])


async def test_a_node_whose_worker_was_given_other_settings_names_them(api: Api) -> None:
    for node_id, environ in (("same", {}), ("other", {"JOB_TIMEOUT": "60", "LOG_LEVEL": "DEBUG"})):
        given = replace(a_node(node_id), facts={FACT: told(load_settings(environ))})
        await api.services.nodes.register(given)
    nodes = (await api.client.get("/api/v1/nodes")).json()["nodes"]
    assert {node["node_id"]: node["settings_differ"] for node in nodes} == {"same": [], "other": ["JOB_TIMEOUT"]}


async def test_a_drained_node_says_who_and_why_until_it_takes_work_again(api: Api) -> None:
    await with_nodes(api)
    async with api.services.bells.listen(node_bell("node-a")) as told, api.services.bells.listen(ROOM_BELL) as room:
        drained = await api.client.post("/api/v1/nodes/node-a/drain", json={"reason": "new kernel"})
        assert await told.wait(0) and await room.wait(0)
    assert_shape(drained.json(), shapes.Node)
    assert drained.json()["state"] == "DRAINING"
    assert drained.json()["drain"] == {
        "actor": "anonymous", "reason": "new kernel", "at": "2026-01-01T12:00:00.000Z", "patient": False,
    }  # fmt: skip
    assert drained.json()["available"]["cpu_cores"] == 0
    api.clock.advance(60)
    again = await api.client.post("/api/v1/nodes/node-a/drain", json={"reason": "another"})
    assert again.json() == drained.json() == (await api.client.get("/api/v1/nodes/node-a")).json()
    for _ in range(2):
        back = await api.client.post("/api/v1/nodes/node-a/resume")
        assert (back.status_code, back.json()["state"], back.json()["drain"]) == (200, "READY", None)


async def test_a_lost_node_stays_lost_whatever_is_wished(api: Api) -> None:
    await with_nodes(api)
    for wish in ("drain", "resume"):
        answer = await api.client.post(f"/api/v1/nodes/node-c/{wish}")
        assert (answer.status_code, answer.json()["state"]) == (200, "LOST")


@pytest.mark.parametrize("node_id", ["node-x", "Node", "a.b", "%00", "a" * 64])
async def test_an_unknown_node_is_not_found(api: Api, node_id: str) -> None:
    answers = [await api.client.get(f"/api/v1/nodes/{node_id}")]
    answers += [await api.client.post(f"/api/v1/nodes/{node_id}/{wish}") for wish in ("drain", "resume")]
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(404, "not_found")}


async def test_the_platforms_front_end_gets_its_workers(api: Api) -> None:
    await with_nodes(api)
    for n, outcome in enumerate(("completed", "completed", "error", "completed")):
        await api.services.runs.insert(replace(RUN, job_id=f"job_{n}", node_id="node-a", outcome=outcome))
    body = (await api.client.get("/worker-activity")).json()
    assert_shape(body, shapes.WorkerActivities)
    assert body["total_workers"] == 3
    assert [w["status"] for w in body["workers"]] == ["busy", "draining", "offline"]
    assert [w["current_job_id"] for w in body["workers"]] == ["job_1", None, None]
    assert [w["current_task_id"] for w in body["workers"]] == ["job_1-2", None, None]
    assert [w["tasks_completed"] for w in body["workers"]] == [3, 0, 0]


async def test_with_no_node_everything_is_zero(api: Api) -> None:
    body = (await api.client.get("/api/v1/resources/availability")).json()
    assert body["nodes"] == []
    assert set(body["total"].values()) == {0}
