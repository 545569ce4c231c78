"""The capacity plan over HTTP, and what node types do to a submit."""

from __future__ import annotations

import json

from app.api.schemas import capacity as shapes
from app.domain.capacity.state import CapacityState
from app.domain.nodes import Node, NodeState
from app.domain.resources import Vector
from tests.contract.stores.test_capacity import PLAN
from tests.support.clock import NOON
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape

TYPES = json.dumps(
    {
        "gpu": {"cpu_cores": 16, "memory_gb": 64, "gpu_count": 4, "storage_gb": 50},
        "none": {"cpu_cores": 999, "memory_gb": 999, "max": 0},
    }
)
KEYS = {"now", "desired", "present", "add", "drain", "reasons", "limited_by", "cost_per_hour", "unplannable"}


async def test_the_plan_is_answered_as_the_leader_stored_it(api: Api) -> None:
    await api.services.capacity.begin(1)
    await api.services.capacity.keep(CapacityState(), PLAN, 1)
    body = (await api.client.get("/api/v1/resources/plan")).json()
    assert_shape(body, shapes.CapacityPlan)
    assert body.keys() >= KEYS
    assert body["now"] == "2020-01-01T00:00:00.000Z" and body["provider"] == "local"
    assert body["desired"] == [{"type": "gpu", "count": 2}] and body["add"] == [{"type": "gpu", "count": 1}]
    assert body["present"][0] == {"type": "gpu", "count": 1, "booting": 1, "draining": 1}
    assert body["present"][1]["type"] is None
    assert body["drain"] == [{"node": "node-9", "empty_at": "2020-01-01T00:00:00.000Z"}]
    assert body["cost_per_hour"] == {"present": 1.5, "desired": 3.0}
    [reason] = body["reasons"]
    assert {name: reason[name] for name in ("class", "bucket", "waiting", "target", "forecast", "slots")} == {
        "class": "high", "bucket": "b1", "waiting": 3, "target": 300.0, "forecast": None, "slots": 2,
    }  # fmt: skip
    assert reason["resources"] == {"cpu_cores": 1, "memory_gb": 2, "gpu_count": 1, "storage_gb": 3}
    assert body["limited_by"] == [{"limit": "step", "type": None, "allowed": 4.0, "wanted": 9.0}]
    assert body["pending"]["plan_id"] == "p1" and body["trouble"] == "no quota"


async def test_before_the_first_look_there_is_none(api: Api) -> None:
    answer = await api.client.get("/api/v1/resources/plan")
    assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_a_job_is_refused_for_size_by_what_may_be_created() -> None:
    async with running_api(NODE_TYPES=TYPES) as api:
        node = Vector.from_units({"cpu_cores": 2, "memory_gb": 4, "storage_gb": 100})
        await api.services.nodes.register(Node("n1", NodeState.READY, 1, {}, node, node, registered_at=NOON))
        await api.submit(resources={"cpu_cores": 16, "gpu_count": 4})
        body = {"template": "noop", "resources": {"cpu_cores": 17}}
        answer = await api.client.post("/api/v1/jobs", json=body)
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["path"] == "resources.cpu_cores" and "16" in error["message"]
