"""Sweeps on real processes: a search over real models, early stops, goals, pauses. `test_stories` kills under them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.dev.embedded import Endpoints
from app.domain.sweeps.definition import definition_from
from app.domain.sweeps.space import key
from app.sampling import OptunaSampler
from app.storage.batches import MongoBatchStore
from app.storage.mongo import connect
from app.storage.trials import MongoTrialStore
from tests.e2e.conftest import settings_of
from tests.support.asking import asked_again
from tests.support.processes import Api, api, worker
from tests.support.wait import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
LEARN = """
import json, os, sys
from time import sleep as pause
rate = float(sys.argv[1])
with open(os.environ["TF_EVENTS"], "a") as events:
    for step in range(1, 61):
        events.write(json.dumps({"metrics": {"accuracy": rate * step / 60}, "step": step}) + "\\n")
        events.flush()
        pause(60 if rate < 0.5 and step == 30 else 0.1)
"""
"""A training that is the better the higher its rate, told step by step, for six seconds; what promises little waits in
the middle of it to be stopped."""
ANSWER = """
until [ -e "$0" ] || [ "$1" -le 3 ]; do sleep 0.05; done
echo '{"metrics": {"value": '"$1"'}, "step": 1}' >> "$TF_EVENTS"
"""
"""A trial that tells its argument as its value: the first three at once, the others when the file is there."""


class Stack:
    """What a user does with a sweep, and sees of it."""

    def __init__(self, served: Api) -> None:
        self.api = served

    async def sweep(self, **sweep: Any) -> str:
        """The id of the batch."""
        answer = await self.api.client.post("/api/v1/jobs/batch", json={"sweep": sweep})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["batch_id"])

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.api.client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def board(self, batch_id: str) -> dict[str, Any]:
        return await self.get(f"/batches/{batch_id}/leaderboard?limit=500")

    async def importance(self, batch_id: str) -> dict[str, float]:
        """Once it is worked out."""

        async def found() -> dict[str, float] | None:
            told: dict[str, float] | None = (await self.board(batch_id))["importance"]
            return told

        shares = await until(found, 60, every=0.1)
        assert shares is not None
        return shares

    async def ended(self, batch_id: str, timeout: float = 150) -> dict[str, Any]:
        """The batch once it has ended."""

        async def over() -> dict[str, Any] | None:
            batch = await self.get(f"/batches/{batch_id}")
            return batch if batch["status"] in ENDED else None

        found = await until(over, timeout, every=0.1)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory, servers: Endpoints) -> dict[str, str]:
    home = tmp_path_factory.mktemp("sweeps")
    return settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"sweeps_{os.getpid()}", home)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> AsyncIterator[Stack]:
    home = tmp_path_factory.mktemp("sweep_processes")
    async with api(home, env) as served, worker(home, env, served):
        yield Stack(served)


async def test_a_search_that_learns_finds_a_good_model_of_iris(stack: Stack, env: dict[str, str]) -> None:
    batch_id = await stack.sweep(
        template="ml_training",
        parameters={"algorithm": "svm", "dataset_name": "iris"},
        space={
            "C": {"type": "log", "low": 0.001, "high": 1000},
            "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
            "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": "poly"}},
        },
        resources={"cpu_cores": 1, "memory_gb": 1},
        strategy="tpe",
        objective="accuracy",
        max_trials=22,
        max_parallel=3,
    )
    batch = await stack.ended(batch_id)
    board = await stack.board(batch_id)
    assert (batch["status"], board["asked"], board["ended"]) == ("COMPLETED", 22, 22)
    rows = board["trials"]
    assert len({key(row["parameters"]) for row in rows}) == 22
    assert [row["rank"] for row in rows] == list(range(1, 23))
    assert rows == sorted(rows, key=lambda row: (-row["value"], row["cluster_seconds"], row["job_id"]))
    assert board["best"]["value"] >= 0.9
    assert "C" in await stack.importance(batch_id)
    model = await stack.api.client.get(board["best"]["model_url"])
    assert (model.status_code, board["best"]["model"]) == (200, f"{board['best']['job_id']}/model.skops")
    await found_again(env, batch_id)


async def found_again(env: dict[str, str], batch_id: str) -> None:
    """Every trial is what its record says that it must be."""
    database = connect(env["MONGODB_URI"], env["MONGODB_DATABASE"])
    try:
        batch = await MongoBatchStore(database).get(batch_id)
        trials = await MongoTrialStore(database).of(batch_id)
    finally:
        await database.close()
    assert batch is not None
    sweep = definition_from(batch.spec or {}).sweep
    for trial in trials:
        assert await asked_again(OptunaSampler(), sweep, trials, trial.number) == trial.values, trial.number


async def test_trials_that_promise_little_are_stopped_early_and_count(stack: Stack) -> None:
    """Two at once, the better ones first: those that come later meet their values at the first rung."""
    batch_id = await stack.sweep(
        template="command",
        parameters={"command": ["python", "-c", LEARN, "${{ parameters.arguments.rate }}"]},
        space={"arguments.rate": {"type": "categorical", "values": [0.9, 0.8, 0.3, 0.2]}},
        strategy="grid",
        objective="accuracy",
        max_parallel=2,
        early_stopping={"eta": 2, "min_step": 10},
        resources={"cpu_cores": 0.5, "memory_gb": 0.25},
    )
    batch = await stack.ended(batch_id)
    board = await stack.board(batch_id)
    assert batch["status"] == "COMPLETED"
    by_rate = {row["parameters"]["arguments.rate"]: row for row in board["trials"]}
    assert [by_rate[rate]["state"] for rate in (0.9, 0.3, 0.2)] == ["completed", "pruned", "pruned"]
    assert board["trials"][0]["parameters"] == {"arguments.rate": 0.9}
    job = await stack.api.job(by_rate[0.2]["job_id"])
    assert (job["status"], job["history"][-1]["reason"]) == ("COMPLETED", "pruned")
    assert [a["outcome"] for a in job["attempts"]] == ["pruned"]
    assert (job["error"], by_rate[0.2]["rung"] >= 10) == (None, True)
    assert 0 < job["metrics"]["accuracy"] < 0.2 and job["progress"] < 1
    assert by_rate[0.2]["value"] == pytest.approx(job["metrics"]["accuracy"])


async def test_a_goal_ends_the_sweep_and_cancels_the_rest(stack: Stack) -> None:
    batch_id = await stack.sweep(
        template="command",
        parameters={"command": ["python", "-c", LEARN, "${{ parameters.arguments.rate }}"]},
        space={"arguments.rate": {"type": "float", "low": 0.5, "high": 1.0}},
        strategy="random",
        objective="accuracy",
        max_trials=50,
        max_parallel=3,
        goal=0.4,
        resources={"cpu_cores": 0.5, "memory_gb": 0.25},
    )
    batch = await stack.ended(batch_id)
    board = await stack.board(batch_id)
    assert (batch["status"], board["asked"] < 50) == ("COMPLETED", True)
    assert board["best"]["value"] >= 0.4
    assert {row["state"] for row in board["trials"]} <= {"completed", "cancelled"}


async def test_a_paused_sweep_asks_nothing_and_a_resumed_one_goes_on(stack: Stack, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    batch_id = await stack.sweep(
        template="command",
        parameters={"command": ["sh", "-c", ANSWER, str(flag), "${{ parameters.arguments.x }}"]},
        space={"arguments.x": {"type": "int", "low": 1, "high": 12}},
        strategy="grid",
        objective="value",
        max_trials=12,
        max_parallel=2,
        resources={"cpu_cores": 0.5, "memory_gb": 0.25},
    )

    async def running() -> int:
        return [row["state"] for row in (await stack.board(batch_id))["trials"]].count("running")

    async def two_wait() -> bool:
        return (await stack.board(batch_id))["ended"] == 3 and await running() == 2

    await until(two_wait, every=0.1)
    paused = await stack.api.client.post(f"/api/v1/batches/{batch_id}/pause")
    assert paused.status_code == 200, paused.text
    flag.touch()

    async def quiet() -> bool:
        return not await running()

    await until(quiet, every=0.1)
    assert (await stack.get(f"/batches/{batch_id}"))["status"] == "PAUSED"
    assert (await stack.board(batch_id))["asked"] == 5
    assert (await stack.api.client.post(f"/api/v1/batches/{batch_id}/resume")).status_code == 200
    assert (await stack.ended(batch_id))["status"] == "COMPLETED"
    assert (await stack.board(batch_id))["ended"] == 12
