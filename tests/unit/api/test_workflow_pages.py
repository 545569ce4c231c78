"""Workflows of thousands of steps over HTTP: one answer is bounded, and the pages have everything once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.workflows.pages import MOST_ITEMS, MOST_SHOWN
from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflows import WORKFLOWS, create, end_job, get, step


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


@pytest.fixture
def jobs_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs each look-up asked for."""
    asked: list[int] = []
    get_many = api.services.jobs.get_many

    async def counted(job_ids: Any) -> Any:
        ids = list(job_ids)
        asked.append(len(ids))
        return await get_many(ids)

    monkeypatch.setattr(api.services.jobs, "get_many", counted)
    return asked


async def pages(api: Api, path: str, kind: str, limit: int, first: str | None = None) -> list[list[dict[str, Any]]]:
    found, cursor = [], first
    while True:
        params = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        answer = await api.client.get(f"{WORKFLOWS}/{path}", params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[kind])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


async def test_an_answer_has_the_first_steps_and_says_where_to_go_on(api: Api, jobs_read: list[int]) -> None:
    made = await create(api, *(step(f"s{n}") for n in range(1_200)))
    jobs_read.clear()
    now = await get(api, made["workflow_id"])
    assert [s["step_id"] for s in now["steps"]] == [f"s{n}" for n in range(MOST_SHOWN)]
    assert now["counts"] == {"ACTIVE": 1_200}
    assert sum(jobs_read) == MOST_SHOWN
    rest = await pages(api, f"{made['workflow_id']}/steps", "steps", 500, now["next_cursor"])
    assert [len(page) for page in rest] == [500, 200]
    every = await pages(api, f"{made['workflow_id']}/steps", "steps", 70)
    assert [s for page in every for s in page] == [*now["steps"], *rest[0], *rest[1]]


async def test_the_outputs_of_the_last_step_are_there_however_far_it_is(api: Api) -> None:
    made = await create(api, step("last"), *(step(f"s{n}", "last") for n in range(3)))
    assert made["outputs"] == {} and made["next_cursor"] is None
    chain = [step("s0"), *(step(f"s{n}", f"s{n - 1}", when="false") for n in range(1, 600)), step("end")]
    made = await create(api, *chain, workflow_name="chain")
    rest = await pages(api, f"{made['workflow_id']}/steps", "steps", 500, made["next_cursor"])
    await end_job(api, rest[0][-1]["job_id"], outputs={"n": 7})
    assert (await get(api, made["workflow_id"]))["outputs"] == {"end": {"n": 7}}


async def test_items_are_shown_up_to_a_bound_and_have_pages_of_their_own(api: Api, jobs_read: list[int]) -> None:
    made = await create(api, *(step(f"s{n}", for_each=list(range(250))) for n in range(7)))
    [first, *_] = made["steps"]
    assert [i["item"] for i in first["items"]] == list(range(MOST_ITEMS)) and len(first["outputs"]) == MOST_ITEMS
    assert first["item_counts"] == {"total": 250, "active": 250, "completed": 0, "unsuccessful": 0}
    assert [s["step_id"] for s in made["steps"]] == ["s0", "s1", "s2", "s3"], "101 each: the fifth has no room"
    jobs_read.clear()
    every = await pages(api, f"{made['workflow_id']}/steps", "steps", 1)
    assert [len(page) for page in every] == [1] * 7 and sum(jobs_read) == 7 * MOST_ITEMS
    path = f"{made['workflow_id']}/steps/s3/items"
    items = [item for page in await pages(api, path, "items", 99) for item in page]
    assert [i["item"] for i in items] == list(range(250)) and len({i["job_id"] for i in items}) == 250
    await end_job(api, items[249]["job_id"], outputs={"n": 1})
    [*_, last] = [item for page in await pages(api, path, "items", 500) for item in page]
    assert (last["status"], last["outputs"]) == ("COMPLETED", {"n": 1})


async def test_what_is_not_there_and_foreign_cursors_are_told(api: Api) -> None:
    made = await create(api, step("train"))
    path = f"{WORKFLOWS}/{made['workflow_id']}/steps"
    assert (await api.client.get(f"{path}/train/items")).json()["items"] == []
    unknown = await api.client.get(f"{path}/trian/items")
    assert unknown.status_code == 404 and "Did you mean train?" in unknown.json()["detail"]
    assert (await api.client.get(f"{WORKFLOWS}/wf_none/steps")).status_code == 404
    for where in (path, f"{path}/train/items"):
        assert (await api.client.get(where, params={"cursor": "c3RlcHM6eCA3"})).status_code == 422
