"""The files in `examples/`, sent as they stand to a real service with a real worker; where a secret is afterwards."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from bson import json_util
from pymongo import AsyncMongoClient

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.processes import Api, api, worker

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).parents[2] / "examples"
TEMPLATES = ("template-wine-grid.json", "template-wine-grid-fine.json", "template-guarded-command.json")
"""In the order in which one is the base of the next."""
TRAINED = "job-iris-forest.json"
NEED_A_MODEL = {"job-batch-inference.json", "job-evaluate-model.json"}
JOBS = sorted(path.name for path in EXAMPLES.glob("job-*.json"))
SECRET = "an-example-and-no-secret"


def body(name: str, model: str = "JOB_ID") -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads((EXAMPLES / name).read_text().replace("JOB_ID", model))
    return found


@pytest.fixture(scope="module")
def database() -> str:
    return f"examples_{os.getpid()}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, servers: Endpoints, database: str) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("examples")
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", database, folder)
    async with api(folder, env) as found, worker(folder, env, found):
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(served: Api) -> dict[str, dict[str, Any]]:
    """Every job of the examples once it is terminal, by the name of its file."""
    for name in TEMPLATES:
        answer = await served.client.post("/api/v1/templates", json=body(name))
        assert answer.status_code == 201, (name, answer.text)
    ids = {TRAINED: (await served.submit(body(TRAINED)))["job_id"]}
    for name in sorted(set(JOBS) - NEED_A_MODEL - {TRAINED}):
        ids[name] = (await served.submit(body(name)))["job_id"]
    await served.ended(ids[TRAINED])
    for name in sorted(NEED_A_MODEL):
        ids[name] = (await served.submit(body(name, ids[TRAINED])))["job_id"]
    return {name: await served.ended(job_id, 120) for name, job_id in ids.items()}


async def test_no_example_is_left_out() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.json")) == sorted((*TEMPLATES, *JOBS))


@pytest.mark.parametrize("name", JOBS)
async def test_an_example_runs_as_it_stands(ended: dict[str, dict[str, Any]], name: str) -> None:
    job = ended[name]
    assert job["status"] == "COMPLETED", job["error"]
    assert "example" in job["tags"]


async def test_what_the_examples_learn(ended: dict[str, dict[str, Any]]) -> None:
    least = {
        "job-iris-forest.json": ("accuracy", 0.9),
        "job-wine-svm.json": ("accuracy", 0.9),
        "job-digits-mlp.json": ("accuracy", 0.8),
        "job-diabetes-regression.json": ("r2", 0.2),
        "job-breast-cancer-boosting.json": ("accuracy", 0.85),
        "job-evaluate-model.json": ("accuracy", 0.9),
        "job-wine-grid-fine.json": ("accuracy", 0.9),
    }
    for name, (metric, value) in least.items():
        assert ended[name]["metrics"][metric] >= value, (name, ended[name]["metrics"])
    assert ended["job-own-command.json"]["result"]["steps"]["command"] == {"rate": 0.25}


async def test_a_job_of_two_layers_tells_where_its_values_come_from(
    served: Api, ended: dict[str, dict[str, Any]]
) -> None:
    job_id = ended["job-wine-grid-fine.json"]["job_id"]
    answer = (await served.client.get(f"/api/v1/jobs/{job_id}/origins")).json()
    assert answer["layers"] == ["wine_grid_fine@1", "wine_grid@1", "hyperparameter_tuning@1"]
    values = {v["path"]: v["layer"] or v["source"] for v in answer["values"]}
    assert values["parameters.C"] == "request"
    assert values["parameters.cv_folds"] == "wine_grid_fine@1"
    assert values["parameters.gamma"] == "wine_grid@1"
    assert values["retry_policy.max_attempts"] == "wine_grid_fine@1"
    assert values["resources.storage_gb"] == "hyperparameter_tuning@1"


async def test_a_secret_is_in_its_own_collection_and_nowhere_else(
    served: Api, ended: dict[str, dict[str, Any]], servers: Endpoints, database: str
) -> None:
    job_id = ended["job-guarded-command.json"]["job_id"]
    logs = (await served.client.get(f"/api/v1/jobs/{job_id}/logs")).json()
    assert [line["text"] for line in logs["lines"]] == ["fetched from south with ***"]
    async with AsyncMongoClient[dict[str, Any]](servers.mongodb_uri) as client:
        holding = {
            name
            for name in await client[database].list_collection_names()
            async for document in client[database][name].find()
            if SECRET in json_util.dumps(document)
        }
    assert holding == {"secrets"}
    for log in served.process.log.parent.glob("*.log"):
        assert SECRET not in log.read_text()
