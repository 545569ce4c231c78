"""Stored workflows over HTTP: listed, read as they were written, with their versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflows import WORKFLOWS, create, step

DEFINITIONS = f"{WORKFLOWS}/definitions"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


async def read(api: Api, path: str = "", **params: Any) -> dict[str, Any]:
    answer = await api.client.get(DEFINITIONS + path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_they_are_listed_by_name_in_pages(api: Api) -> None:
    for name in ("nightly", "a_graph", "weekly"):
        await create(api, step("a"), workflow_name=name, description=f"the {name} one", start=False)
    await create(api, step("a"), step("b"), workflow_name="nightly", start=False)
    page = await read(api, limit=2)
    assert [(d["workflow_name"], d["version"]) for d in page["definitions"]] == [("a_graph", 1), ("nightly", 2)]
    assert page["definitions"][0]["description"] == "the a_graph one"
    assert page["definitions"][0]["templates"] == {"noop": 1}
    rest = await read(api, limit=2, cursor=page["next_cursor"])
    assert [d["workflow_name"] for d in rest["definitions"]] == ["weekly"] and rest["next_cursor"] is None
    foreign = await api.client.get(DEFINITIONS, params={"cursor": "bm9uZQ"})
    assert foreign.status_code == 422


async def test_one_is_answered_in_the_form_that_a_creation_takes(api: Api) -> None:
    steps = (
        step("a", retry_policy={"max_attempts": 2}, resources={"cpu_cores": 1}, timeout=5, on_failure="c"),
        step("b", "a", when="inputs.n > 1", for_each=[1, {"k": None}], max_parallel=1, approval={"timeout": 9}),
        step("c", priority="high"),
    )
    await create(api, *steps, inputs={"n": {"type": "integer", "default": 2}}, start=False)
    found = await read(api, "/test")
    assert [s["step_id"] for s in found["definition"]["steps"]] == ["a", "b", "c"]
    assert found["definition"]["steps"][1]["when"] == "inputs.n > 1"
    again = await api.client.post(WORKFLOWS, json={**found["definition"], "start": False})
    assert again.status_code == 201, again.text
    assert again.json()["version"] == found["version"] == 1, "the same again is no new version"


async def test_versions_are_listed_and_read(api: Api) -> None:
    for n in range(1, 4):
        await create(api, *(step(f"s{m}") for m in range(n)), start=False)
    page = await read(api, "/test/versions", limit=2)
    assert [v["version"] for v in page["versions"]] == [3, 2]
    rest = await read(api, "/test/versions", limit=2, cursor=page["next_cursor"])
    assert [v["version"] for v in rest["versions"]] == [1] and rest["next_cursor"] is None
    assert len((await read(api, "/test"))["definition"]["steps"]) == 3
    assert len((await read(api, "/test", version=1))["definition"]["steps"]) == 1


@pytest.mark.parametrize(
    ("path", "says"),
    [("/tset", "Did you mean test?"), ("/tset/versions", "Did you mean test?"), ("/test?version=9", "test version 9"),
     ("/No%20Name", "No Name"), ("/%00", "definition")],
)  # fmt: skip
async def test_unknown_ones_are_not_found(api: Api, path: str, says: str) -> None:
    await create(api, step("a"), start=False)
    answer = await api.client.get(DEFINITIONS + path)
    assert answer.status_code == 404 and says in answer.json()["detail"]
