"""What a step with `cache` takes over from an earlier one, and what it does not."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.records import ArtifactInfo
from app.operations.workflows.caching import key_of
from tests.support.clock import NOON
from tests.unit.api.harness import Api, running_api
from tests.unit.api.test_workflow_secrets import HANDED, login, run
from tests.unit.api.test_workflows import create, end_job, end_step, get, step


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as found:
        yield found


def cached(**fields: Any) -> dict[str, Any]:
    return step("a", **{"job_template": "sleep", "parameters": {"seconds": 2}, "cache": True, **fields})


async def stored(api: Api, folder: Path, job_id: str, content: bytes, name: str = "model.skops") -> None:
    path = folder / hashlib.sha256(content + job_id.encode()).hexdigest()
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    info = ArtifactInfo(job_id, 1, name, "artifact", len(content), digest, "application/octet-stream", NOON)
    await api.services.artifacts.put(info, path)


async def test_with_its_artifact_gone_the_step_runs_again(api: Api, tmp_path: Path) -> None:
    made = await create(api, cached())
    job_id = made["steps"][0]["job_id"]
    await stored(api, tmp_path, job_id, b"model")
    await end_step(api, made, "a", outputs={"model": f"{job_id}/model.skops", "accuracy": 0.9})
    assert (await create(api, cached()))["steps"][0]["cached_from"] == job_id
    await api.services.artifacts.delete_of([job_id])
    again = (await create(api, cached()))["steps"][0]
    assert (again["status"], again.get("cached_from")) == ("QUEUED", None)


async def test_a_step_with_secrets_is_never_taken_over(api: Api) -> None:
    await login(api, cached(job_template="login", parameters={"token": HANDED}))
    await end_step(api, await run(api, token="mine"), "a", outputs={"rows": 7})
    for token in ("yours", "mine"):
        assert (await run(api, token=token))["steps"][0]["status"] == "QUEUED"


async def test_items_that_end_at_once_are_all_remembered(api: Api) -> None:
    many = cached(for_each=[1, 2, 3, 4, 5], parameters={"seconds": "${{ item }}"})
    made = await create(api, many)
    items = (await get(api, made["workflow_id"]))["steps"][0]["items"]
    await asyncio.gather(*(end_job(api, item["job_id"]) for item in items))
    again = (await get(api, (await create(api, many))["workflow_id"]))["steps"][0]
    assert [item.get("cached_from") for item in again["items"]] == [item["job_id"] for item in items]


async def test_equal_work_has_one_key_and_no_tenant_has_anothers(api: Api, tmp_path: Path) -> None:
    services = api.services
    first, same, other = (f"job_{letter * 26}" for letter in "abc")
    for job_id, content in ((first, b"model"), (same, b"model"), (other, b"other")):
        await stored(api, tmp_path, job_id, content)

    async def of(tenant: str = "t", version: int = 1, **parameters: Any) -> str:
        return await key_of(services, "inference", version, parameters, tenant, ())

    want = await of(model=f"{first}/model.skops")
    assert await of(model=f"{same}/model.skops") == want == await of(model=first)
    others = [
        await of(model=f"{other}/model.skops"),
        await of("u", model=f"{first}/model.skops"),
        await of(version=2, model=f"{first}/model.skops"),
        await of(model=f"{first}/model.skops", rows=1),
        await of(model=f"{first}/gone.skops"),
    ]
    assert len({want, *others}) == 6
