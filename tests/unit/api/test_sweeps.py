"""Sweeps over HTTP: what is accepted, what is refused and where, and the leaderboard page by page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.api.schemas.batches import Batch, BatchSubmitted
from app.api.schemas.sweeps import Leaderboard
from app.api.sweep_examples import SWEEP
from app.domain.batches import BatchStatus
from app.domain.records import MetricPoint
from app.domain.states import JobStatus
from app.operations.sweeps.driving import drive
from app.operations.sweeps.searching import Search
from app.storage.memory.webhooks import MemoryWebhooks
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

SPACE: dict[str, Any] = {"C": {"type": "log", "low": 0.001, "high": 1000}}
KERNEL = {"type": "categorical", "values": ["rbf", "poly"]}


def a_sweep(space: Any = SPACE, **more: Any) -> dict[str, Any]:
    asked = {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm"}, "strategy": "random"}
    return {"sweep": {**asked, "objective": "accuracy", "max_trials": 6, "max_parallel": 2, "space": space, **more}}


async def post(api: Api, body: Any, **headers: str) -> Any:
    return await api.client.post("/api/v1/jobs/batch", json=body, headers=headers)


async def accepted(api: Api, body: Any) -> str:
    answer = await post(api, body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["batch_id"])


async def get(api: Api, path: str) -> dict[str, Any]:
    answer = await api.client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_the_body_of_the_contract_is_taken_and_its_first_trials_wait(api: Api) -> None:
    answer = await post(api, SWEEP)
    assert answer.status_code == 201, answer.text
    submitted = answer.json()
    assert_shape(submitted, BatchSubmitted)
    assert len(submitted["job_ids"]) == 8
    assert submitted["counts"]["total"] == submitted["counts"]["submitted"] == 8
    jobs = await get(api, f"/jobs?batch_id={submitted['batch_id']}")
    assert sorted(job["job_id"] for job in jobs["jobs"]) == submitted["job_ids"]
    assert {job["status"] for job in jobs["jobs"]} == {"QUEUED"}
    batch = await get(api, f"/batches/{submitted['batch_id']}")
    assert_shape(batch, Batch)
    assert (batch["kind"], batch["size"], batch["max_parallel"]) == ("sweep", 40, 8)
    assert batch["sweep"]["space"] == {
        "C": {"type": "log", "low": 0.001, "high": 1000.0},
        "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
        "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": ["poly"]}},
    }
    assert batch["sweep"]["early_stopping"] == {"eta": 3, "min_step": 1}


async def test_a_key_gives_the_first_answer_again(api: Api) -> None:
    first, again = [await post(api, a_sweep(), **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert (again.status_code, again.content, again.headers["Idempotent-Replayed"]) == (201, first.content, "true")
    assert len((await get(api, "/batches"))["batches"]) == 1
    other = await post(api, a_sweep(seed=1), **{"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"strategy": "tpe"}, (0, False)),
        ({"strategy": "tpe", "seed": 0}, (0, True)),
        ({"strategy": "tpe", "seed": 3, "reproducible": False}, (3, False)),
        ({"strategy": "tpe", "reproducible": True, "max_parallel": None}, (0, True)),
        ({"strategy": "random"}, (0, True)),
    ],
)
async def test_who_gives_a_seed_gets_the_same_trials_for_it(api: Api, asked: Any, told: Any) -> None:
    found = (await get(api, f"/batches/{await accepted(api, a_sweep(**asked))}"))["sweep"]
    assert (found["seed"], found["reproducible"]) == told


REFUSED: dict[str, tuple[Any, str, str]] = {
    "an empty space": (a_sweep({}), "sweep.space", "is empty"),
    "low above high": (a_sweep({"C": {"type": "log", "low": 2, "high": 1}}), "sweep.space.C.low", "below high"),
    "a logarithm of nothing": (a_sweep({"C": {"type": "log", "low": 0, "high": 1}}), "sweep.space.C.low", "above 0"),
    "a type that is none": (a_sweep({"C": {"type": "lgo", "low": 1, "high": 2}}), "sweep.space.C", "did you mean log?"),
    "no type": (a_sweep({"C": {"low": 1, "high": 2}}), "sweep.space.C", "must say what it is by 'type'"),
    "no object": (a_sweep({"C": 5}), "sweep.space.C", "must be an object"),
    "a strange field": (
        a_sweep({"C": {"type": "int", "low": 1, "high": 9, "stepp": 2}}),
        "sweep.space.C.stepp",
        "did you mean step?",
    ),
    "a fraction as a whole number": (
        a_sweep({"degree": {"type": "int", "low": 1.5, "high": 9}}),
        "sweep.space.degree.low",
        "whole number",
    ),
    "a text as a number": (a_sweep({"C": {"type": "log", "low": "1", "high": 9}}), "sweep.space.C.low", "a number"),
    "a stranger decides": (
        a_sweep({"kernel": KERNEL, "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernle": "poly"}}}),
        "sweep.space.degree.when.kernle",
        "did you mean kernel?",
    ),
    "conditions in a circle": (
        a_sweep(
            {
                "kernel": {**KERNEL, "when": {"degree": 2}},
                "degree": {"type": "int", "low": 2, "high": 5, "when": {"kernel": "poly"}},
            }
        ),
        "sweep.space.kernel.when",
        "go round",
    ),
    "more trials than there are": (a_sweep({"kernel": KERNEL}), "sweep.max_trials", "holds 2 different trials"),
    "a strange parameter": (a_sweep({"Cc": SPACE["C"]}), "sweep.space.Cc", "did you mean C?"),
    "a value beyond the template's": (
        a_sweep({"degree": {"type": "int", "low": 2, "high": 50}}),
        "sweep.space.degree.high",
        "at most 20",
    ),
    "a strange template": (a_sweep(template="hyperparameter_tunin"), "sweep.template", "hyperparameter_tuning?"),
    "a strategy that is none": (a_sweep(strategy="tpee"), "sweep.strategy", "did you mean tpe?"),
    "no objective": ({"sweep": {"template": "noop", "space": SPACE}}, "sweep.objective", "is required"),
    "jobs too": ({**a_sweep(), "jobs": []}, "jobs", "a list of jobs or a sweep"),
    "one after the other": (
        {**a_sweep(), "execution_mode": "sequential"},
        "execution_mode",
        "give max_parallel 1",
    ),
    "a width beside": ({**a_sweep(), "max_parallel": 3}, "max_parallel", "sweep.max_parallel"),
    "a parent that is not there": (a_sweep(dependencies=["job_nowhere"]), "sweep.dependencies[0]", "there is no job"),
    "more than any node has": (a_sweep(resources={"cpu_cores": -1}), "sweep.resources.cpu_cores", "negative"),
    "no sweep": ({"sweep": None}, "sweep", "must be an object"),
    "keys that no store takes": (
        a_sweep({"hyperparameters": {"type": "categorical", "values": [{"$where": 1}]}}, max_trials=1),
        "sweep.space.hyperparameters",
        "must not",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_is_refused_where_it_was_said_and_nothing_is_stored(api: Api, case: str) -> None:
    body, path, words = REFUSED[case]
    answer = await post(api, body)
    assert answer.status_code == 422, answer.text
    [error] = [e for e in answer.json()["errors"] if e["path"].startswith(path)][:1]
    assert words in error["message"], answer.text
    assert (await get(api, "/batches"))["batches"] == []


async def test_a_callback_that_could_never_be_told_is_refused_as_of_any_batch(api: Api) -> None:
    hooks = api.services.webhooks
    assert isinstance(hooks, MemoryWebhooks)
    hooks.refuses = "no secret"
    answer = await post(api, {**a_sweep(), "callback_url": "https://x.test/"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"path": "callback_url", "message": "no secret"}]
    assert (await get(api, "/batches"))["batches"] == []


async def over(api: Api, batch_id: str, number: int, value: float | None) -> None:
    """The job of a trial has ended: it completed with this value, or it failed. Nobody has looked yet."""
    job = await api.job((await api.services.trials.of(batch_id))[number].job_id)
    at = api.clock.advance(1)
    if value is not None:
        await api.services.metrics.append(job.id, 1, [MetricPoint("accuracy", value, None, "t", at)])
    status = JobStatus.FAILED if value is None else JobStatus.COMPLETED
    done = replace(job, status=status, run_no=1, finished_at=at, result={"metrics": {}, "steps": {}})
    api.services.jobs._jobs[job.id] = done  # type: ignore[attr-defined]


async def ended(api: Api, batch_id: str, values: list[float | None]) -> None:
    """Trials end with these values, one after the other, and the sweep is driven on."""
    for number, value in enumerate(values):
        await over(api, batch_id, number, value)
        batch = await api.services.batches.get(batch_id)
        assert batch is not None
        await drive(api.services, Search.of(batch))


async def test_the_leaderboard_is_ranked_and_paged(api: Api) -> None:
    batch_id = await accepted(api, a_sweep())
    await ended(api, batch_id, [0.5, 0.9, None, 0.7])
    board = await get(api, f"/batches/{batch_id}/leaderboard")
    assert_shape(board, Leaderboard)
    assert [(row["rank"], row["number"], row["value"]) for row in board["trials"]] == [
        (1, 1, 0.9), (2, 3, 0.7), (3, 0, 0.5), (None, 4, None), (None, 5, None), (None, 2, None),
    ]  # fmt: skip
    assert [row["state"] for row in board["trials"]] == [*["completed"] * 3, *["waiting"] * 2, "failed"]
    assert (board["asked"], board["ended"], board["importance"]) == (6, 4, None)
    assert (board["best"]["number"], board["best"]["value"], board["best"]["model"]) == (1, 0.9, None)
    first = await get(api, f"/batches/{batch_id}/leaderboard?limit=4")
    rest = await get(api, f"/batches/{batch_id}/leaderboard?limit=4&cursor={first['next_cursor']}")
    assert first["trials"] + rest["trials"] == board["trials"]
    assert rest["next_cursor"] is None


async def test_a_sweep_that_reached_its_goal_has_come_to_its_end(api: Api) -> None:
    batch_id = await accepted(api, a_sweep(goal=0.8))
    await ended(api, batch_id, [0.9])
    batch = await api.services.batches.get(batch_id)
    assert batch is not None
    await drive(api.services, Search.of(batch))
    told = await get(api, f"/batches/{batch_id}")
    assert (told["status"], told["counts"]["total"], told["size"], told["progress"]) == ("COMPLETED", 2, 6, 1.0)


async def test_a_cursor_of_another_leaderboard_is_refused(api: Api) -> None:
    one, other = [await accepted(api, a_sweep()) for _ in range(2)]
    cursor = (await get(api, f"/batches/{one}/leaderboard?limit=1"))["next_cursor"]
    for wrong in (cursor, "x", "Ym9hcmQ"):
        answer = await api.client.get(f"/api/v1/batches/{other}/leaderboard?cursor={wrong}")
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "cursor")


async def test_only_a_sweep_has_a_leaderboard(api: Api) -> None:
    answer = await api.client.get("/api/v1/batches/batch_nowhere/leaderboard")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    plain = await post(api, {"jobs": [{"template": "noop"}]})
    answer = await api.client.get(f"/api/v1/batches/{plain.json()['batch_id']}/leaderboard")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_a_sweep")


async def test_of_a_sweep_that_has_ended_the_leaderboard_records_what_nobody_has_recorded(api: Api) -> None:
    batch_id = await accepted(api, a_sweep())
    await over(api, batch_id, 0, 0.8)
    before = await get(api, f"/batches/{batch_id}/leaderboard")
    assert (before["ended"], before["trials"][0]["state"]) == (0, "waiting")
    batch = await api.services.batches.get(batch_id)
    assert batch is not None
    api.services.batches._batches[batch_id] = replace(batch, status=BatchStatus.CANCELLED)  # type: ignore[attr-defined]
    board = await get(api, f"/batches/{batch_id}/leaderboard")
    assert (board["trials"][0]["value"], board["ended"]) == (0.8, 1)
    [recorded, *_] = await api.services.trials.of(batch_id)
    assert recorded.end is not None and recorded.end.value == 0.8


async def test_a_sweep_may_be_as_large_as_a_job_not_as_a_batch(api: Api) -> None:
    answer = await post(api, {**a_sweep(), "metadata": {"note": "x" * (1 << 20)}})
    assert (answer.status_code, "MAX_BODY_MB" in answer.json()["detail"]) == (413, True)


async def test_secrets_of_a_sweep_are_not_told(api: Api) -> None:
    template = {
        "job_template": {
            "name": "with_token",
            "parameters": [{"name": "token", "type": "secret", "required": True}],
            "execution_steps": [{"step": "sleep"}],
        }
    }
    created = await api.client.post("/api/v1/templates", json=template)
    assert created.status_code == 201, created.text
    space = {"seconds": {"type": "float", "low": 0, "high": 1}}
    batch_id = await accepted(api, a_sweep(space, template="with_token", parameters={"token": "hush-hush"}))
    for path in (f"/batches/{batch_id}", "/batches", f"/batches/{batch_id}/leaderboard", f"/jobs?batch_id={batch_id}"):
        assert "hush-hush" not in (await api.client.get(f"/api/v1{path}")).text
    batch = await api.services.batches.get(batch_id)
    assert batch is not None and "hush-hush" not in str(batch.spec)
    for trial in await api.services.trials.of(batch_id):
        job = await api.job(trial.job_id)
        assert job.parameters["token"] == "***" and job.sealed is not None
        assert await api.services.secrets.get(job.sealed) == {"token": "hush-hush"}
    searched = await post(
        api,
        a_sweep(
            {"token": {"type": "categorical", "values": ["a", "b"]}}, template="with_token", parameters={}, max_trials=2
        ),
    )
    assert searched.json()["errors"][0]["path"] == "sweep.space.token"
