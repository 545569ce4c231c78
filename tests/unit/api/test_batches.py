"""Batches over HTTP: the shapes of the contract, refusals with their places, listing, controls, streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.batches import member_id, told
from app.domain.events import Event
from app.operations.batches.following import fail_fast
from app.storage.batch_documents import last_document
from app.storage.feed.events import batch_event
from app.storage.memory.webhooks import MemoryWebhooks
from tests.support.memory import ends
from tests.unit.api.harness import Api, frames, running_api, take

SUBMIT = "/api/v1/jobs/batch"
BATCHES = "/api/v1/batches"
VERBATIM = {
    "jobs": [
        {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": 1.0}},
        {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": 10.0}},
    ],
    "execution_mode": "parallel",
}
NOOP = {"template": "noop"}


async def submitted(api: Api, count: int = 3, **fields: Any) -> dict[str, Any]:
    answer = await api.client.post(SUBMIT, json={"jobs": [NOOP] * count, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def got(api: Api, batch_id: str) -> dict[str, Any]:
    answer = await api.client.get(f"{BATCHES}/{batch_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


class TestSubmitting:
    async def test_the_request_of_the_contract(self, api: Api) -> None:
        answer = await api.client.post(SUBMIT, json=VERBATIM)
        assert answer.status_code == 201
        body = answer.json()
        assert body["status"] == "RUNNING" and body["message"] == "Batch submitted successfully"
        assert body["job_ids"] == [member_id(body["batch_id"], n) for n in range(2)]
        assert body["counts"]["total"] == body["counts"]["queued"] == 2
        batch = await got(api, body["batch_id"])
        assert (batch["size"], batch["execution_mode"], batch["template"]) == (2, "parallel", "hyperparameter_tuning")
        job = (await api.client.get(f"/api/v1/jobs/{body['job_ids'][1]}")).json()
        assert (job["batch_id"], job["parameters"]["C"], job["status"]) == (body["batch_id"], 10.0, "QUEUED")
        listed = (await api.client.get("/api/v1/jobs", params={"batch_id": body["batch_id"]})).json()["jobs"]
        assert {job["job_id"] for job in listed} == set(body["job_ids"])

    async def test_all_that_can_be_said_of_a_batch(self, api: Api) -> None:
        body = await submitted(
            api, execution_mode="sequential", fail_fast=True, name="night", metadata={"who": "ann"},
            callback_url="https://ci.example.com/x",
        )  # fmt: skip
        assert body["counts"] == {**body["counts"], "queued": 1, "submitted": 2}
        batch = await got(api, body["batch_id"])
        assert (batch["name"], batch["fail_fast"], batch["metadata"]) == ("night", True, {"who": "ann"})
        assert batch["callback"] == {
            "url": "https://ci.example.com/x", "tries": 0, "next_try_at": None, "delivered_at": None, "trouble": None,
        }  # fmt: skip

    async def test_the_same_key_and_body_gives_the_first_answer(self, api: Api) -> None:
        first, again = [
            await api.client.post(SUBMIT, json=VERBATIM, headers={"Idempotency-Key": "night-1"}) for _ in range(2)
        ]
        assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"
        other = await api.client.post(SUBMIT, json={"jobs": [NOOP]}, headers={"Idempotency-Key": "night-1"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert len((await api.client.get(BATCHES)).json()["batches"]) == 1

    @pytest.mark.parametrize(
        ("bad", "path", "near"),
        [
            ({"template": "noop", "parameters": {"x": 1}}, "jobs[2].parameters.x", None),
            ({"template": "noop", "priorty": "high"}, "jobs[2].priorty", "priority"),
            ({"template": "noop", "priority": "hihg"}, "jobs[2].priority", "high"),
            ({"template": "nopo"}, "jobs[2].template", "noop"),
            ({"template": "noop", "timeout": "1"}, "jobs[2].timeout", None),
            ({"template": "noop", "resources": {"cpu_cores": "4"}}, "jobs[2].resources.cpu_cores", None),
            ({}, "jobs[2].template", None),
            (7, "jobs[2]", None),
        ],
    )
    async def test_one_bad_job_is_named_by_its_place(self, api: Api, bad: Any, path: str, near: str | None) -> None:
        answer = await api.client.post(SUBMIT, json={"jobs": [NOOP, NOOP, bad, NOOP]})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["path"], error.get("nearest")) == (path, near)
        assert (await api.client.get("/api/v1/jobs")).json()["jobs"] == []

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "jobs"),
            ({"jobs": None}, "jobs"),
            ({"jobs": {}}, "jobs"),
            ({"jobs": []}, "jobs"),
            ({"jobs": [NOOP], "execution_mode": "paralel"}, "execution_mode"),
            ({"jobs": [NOOP], "max_parallel": "2"}, "max_parallel"),
            ({"jobs": [NOOP], "fail_fast": 1}, "fail_fast"),
            ({"jobs": [NOOP], "max_paralell": 2}, "max_paralell"),
            ([NOOP], ""),
            (None, ""),
        ],
    )
    async def test_what_is_wrong_with_the_whole(self, api: Api, body: Any, path: str) -> None:
        answer = await api.client.post(SUBMIT, json=body)
        assert (answer.status_code, [e["path"] for e in answer.json()["errors"]]) == (422, [path])

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "is required, or a sweep"),
            ({"jobs": []}, "must hold 1 to 10,000 jobs, not 0"),
            ({"jobs": [{}] * 10_001}, "must hold 1 to 10,000 jobs, not 10,001; send several batches"),
        ],
    )
    async def test_a_wrong_number_of_jobs_is_told_with_what_helps(self, api: Api, body: Any, said: str) -> None:
        [error] = (await api.client.post(SUBMIT, json=body)).json()["errors"]
        assert (error["path"], error["message"]) == ("jobs", said)

    async def test_ten_thousand_faults_are_answered_with_a_hundred(self, api: Api) -> None:
        answer = await api.client.post(SUBMIT, json={"jobs": [{"templte": "x"}] * 10_000})
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 100)
        answer = await api.client.post(SUBMIT, json={"jobs": [NOOP] * 10_001})
        assert [e["path"] for e in answer.json()["errors"]] == ["jobs"]

    async def test_an_address_without_a_secret_is_refused(self, api: Api) -> None:
        hooks = api.services.webhooks
        assert isinstance(hooks, MemoryWebhooks)
        hooks.refuses = "no secret"
        answer = await api.client.post(SUBMIT, json={"jobs": [NOOP], "callback_url": "https://x.test/"})
        assert answer.json()["errors"] == [{"path": "callback_url", "message": "no secret"}]


async def test_a_batch_may_have_a_larger_body_than_a_job() -> None:
    async with running_api(MAX_BATCH_MB="2") as api:
        large = {"template": "noop", "metadata": {"x": "y" * (1 << 20)}}
        assert (await api.client.post("/api/v1/jobs", json=large)).status_code == 413
        assert (await api.client.post(SUBMIT, json={"jobs": [large]})).status_code == 201
        answer = await api.client.post(SUBMIT, json={"jobs": [large, large]})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "MAX_BATCH_MB" in answer.json()["detail"] and "2 MiB" in answer.json()["detail"]


class TestReading:
    async def test_counts_and_progress_follow_the_jobs(self, api: Api) -> None:
        body = await submitted(api, 4)
        await ends(api.services, body["job_ids"][0])
        await ends(api.services, body["job_ids"][1], "FAILED")
        batch = await got(api, body["batch_id"])
        assert (batch["counts"]["completed"], batch["counts"]["failed"], batch["counts"]["queued"]) == (1, 1, 2)
        assert (batch["progress"], batch["status"]) == (0.5, "RUNNING")

    async def test_pages_and_filters(self, api: Api) -> None:
        ids = []
        for _ in range(5):
            api.clock.advance(1)
            ids.append((await submitted(api, 1))["batch_id"])
        page = (await api.client.get(BATCHES, params={"limit": 3})).json()
        assert [b["batch_id"] for b in page["batches"]] == ids[:1:-1]
        page = (await api.client.get(BATCHES, params={"limit": 3, "cursor": page["next_cursor"]})).json()
        assert ([b["batch_id"] for b in page["batches"]], page["next_cursor"]) == (ids[1::-1], None)
        await api.client.post(f"{BATCHES}/{ids[2]}/cancel")
        for params, want in (({"status": "CANCELLED"}, [ids[2]]), ({"kind": "sweep"}, []), ({"status": "PAUSED"}, [])):
            answer = await api.client.get(BATCHES, params=params)
            assert [b["batch_id"] for b in answer.json()["batches"]] == want
        assert (await api.client.get(BATCHES, params={"cursor": "nonsense"})).status_code == 422

    @pytest.mark.parametrize("batch_id", ["batch_none", "B-1", "batch_" + "x" * 80])
    async def test_an_unknown_one_is_not_found(self, api: Api, batch_id: str) -> None:
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("GET", "/events")):
            answer = await api.client.request(method, f"{BATCHES}/{batch_id}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestControls:
    async def test_what_is_told_of_one_counts_the_jobs_as_they_are_then(self, api: Api) -> None:
        """Not as they were when somebody last counted."""
        body = await submitted(api, 3)
        await ends(api.services, body["job_ids"][0])
        await api.client.post(f"{BATCHES}/{body['batch_id']}/pause")
        batch = await api.services.batches.get(body["batch_id"])
        assert batch is not None
        counts = told(batch, batch.counts)["counts"]
        assert counts == {**counts, "completed": 1, "queued": 2}  # type: ignore[dict-item]

    async def test_what_fail_fast_stops_is_told_with_the_failure(self, api: Api) -> None:
        body = await submitted(api, 3)
        await ends(api.services, body["job_ids"][0], "FAILED")
        batch = await api.services.batches.get(body["batch_id"])
        assert batch is not None
        stopped = await fail_fast(api.services, batch, await api.job(body["job_ids"][0]))
        assert stopped is not None
        assert (stopped.counts.failed, stopped.counts.laid_out) == (1, 3)

    async def test_each_answers_the_batch_and_what_happens(self, api: Api) -> None:
        batch_id = (await submitted(api))["batch_id"]
        paused = (await api.client.post(f"{BATCHES}/{batch_id}/pause", json={"reason": "lunch"})).json()
        assert (paused["status"], paused["counts"]["paused"], paused["history"][-1]["detail"]) == ("PAUSED", 3, "lunch")
        assert paused["message"] == "It is PAUSED: 3 jobs are paused, and 0 jobs are running to the end."
        resumed = (await api.client.post(f"{BATCHES}/{batch_id}/resume")).json()
        assert (resumed["status"], resumed["counts"]["queued"]) == ("RUNNING", 3)
        answer = await api.client.delete(f"{BATCHES}/{batch_id}", params={"reason": "wrong data"})
        assert (answer.json()["status"], answer.json()["counts"]["cancelled"]) == ("CANCELLED", 3)
        assert answer.headers["ETag"] == f'"{answer.json()["seq"]}"'
        api.clock.advance(1)
        retried = (await api.client.post(f"{BATCHES}/{batch_id}/retry")).json()
        assert (retried["status"], retried["counts"]["queued"]) == ("RUNNING", 3)

    async def test_a_key_does_it_once_and_a_version_guards_it(self, api: Api) -> None:
        batch_id = (await submitted(api))["batch_id"]
        first, again = [
            await api.client.post(f"{BATCHES}/{batch_id}/pause", headers={"Idempotency-Key": "p"}) for _ in range(2)
        ]
        assert first.content == again.content and first.headers["ETag"] == again.headers["ETag"]
        answer = await api.client.post(f"{BATCHES}/{batch_id}/resume", headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["current"]) == (412, "2")

    async def test_a_refusal_names_the_states(self, api: Api) -> None:
        batch_id = (await submitted(api))["batch_id"]
        await api.client.post(f"{BATCHES}/{batch_id}/cancel")
        problem = (await api.client.post(f"{BATCHES}/{batch_id}/pause")).json()
        assert (problem["status"], problem["code"], problem["current"], problem["wanted"]) == (
            409, "invalid_transition", "CANCELLED", "PAUSED",
        )  # fmt: skip
        assert problem["allowed"] == ["RUNNING"]


class TestStreams:
    async def test_it_opens_with_the_present_state_and_ends_with_the_batch(self, api: Api) -> None:
        body = await submitted(api, 2)
        batch = await api.services.batches.get(body["batch_id"])
        assert batch is not None
        async with api.client.stream("GET", f"{BATCHES}/{batch.id}/events") as response:
            stream = frames(response)
            [opening] = await take(stream, 1)
            await api.feed.publish(Event("job.state", {"type": "job.state"}, subject={"batch_id": batch.id}))
            await api.feed.publish(Event("job.state", {"type": "job.state"}, subject={"batch_id": "batch_other"}))
            await api.client.post(f"{BATCHES}/{batch.id}/cancel")
            ended = await api.services.batches.get(batch.id)
            assert ended is not None
            await api.feed.publish(batch_event(batch.id, last_document(ended)))
            rest = [frame async for frame in stream]
        assert (opening.event, json.loads(opening.data)["counts"]["queued"]) == ("batch.state", 2)
        assert opening.id, "a client that is cut early can go on"
        assert [frame.event for frame in rest] == ["job.state", "batch.state"]
        assert json.loads(rest[-1].data)["status"] == "CANCELLED"

    async def test_a_client_that_comes_back_gets_what_it_missed(self, api: Api) -> None:
        batch_id = (await submitted(api, 2))["batch_id"]
        async with api.client.stream("GET", f"{BATCHES}/{batch_id}/events") as response:
            [opening] = await take(frames(response), 1)
        for n in range(3):
            await api.feed.publish(Event("job.state", {"type": "job.state", "n": n}, subject={"batch_id": batch_id}))
        headers = {"Last-Event-ID": opening.id or ""}
        async with api.client.stream("GET", f"{BATCHES}/{batch_id}/events", headers=headers) as response:
            assert [json.loads(f.data)["n"] for f in await take(frames(response), 3)] == [0, 1, 2]

    async def test_an_ended_batch_has_one_event(self, api: Api) -> None:
        batch_id = (await submitted(api, 2))["batch_id"]
        await api.client.post(f"{BATCHES}/{batch_id}/cancel")
        async with api.client.stream("GET", f"{BATCHES}/{batch_id}/events") as response:
            assert [json.loads(f.data)["status"] async for f in frames(response)] == ["CANCELLED"]

    async def test_the_feed_tells_what_the_stream_opens_with(self, api: Api) -> None:
        """Two ways to the same shape: from the stored document, and from the record."""
        batch = await api.services.batches.get((await submitted(api, 2))["batch_id"])
        assert batch is not None
        fed = batch_event(batch.id, last_document(batch))
        assert fed.data == {"type": "batch.state", **told(batch, batch.counts)}
        assert fed.subject == {"batch_id": batch.id}


async def test_a_job_is_made_to_wait_for_others(api: Api) -> None:
    """The request of the contract, and its refusals."""
    first, second, child = [await api.submit() for _ in range(3)]
    path = f"/api/v1/jobs/{child}/dependencies"
    body = {"depends_on": [first, second], "dependency_type": "all_complete"}
    answer = await api.client.post(path, json=body)
    assert answer.status_code == 200
    job = answer.json()
    assert (job["status"], job["dependencies"], job["dependency_type"]) == (
        "SUBMITTED",
        [first, second],
        "all_complete",
    )
    assert job["wait_reason"]["code"] == "dependencies" and job["message"].startswith("It waits for its dependencies")
    assert answer.headers["ETag"] == f'"{job["seq"]}"'
    cycle = await api.client.post(f"/api/v1/jobs/{first}/dependencies", json={"depends_on": [second, child]})
    assert (cycle.status_code, cycle.json()["code"]) == (422, "cycle")
    assert cycle.json()["errors"][0]["path"] == "depends_on[1]"
    assert f"{first} → {child} → {first}" in cycle.json()["errors"][0]["message"]
    unknown = await api.client.post(path, json={"depends_on": ["job_123"]})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_job")
    for wrong in ({"depends_on": []}, {}, {"depends_on": [first], "dependency_type": "some"}, {"depends_on": "job_1"}):
        assert (await api.client.post(path, json=wrong)).status_code == 422
    await ends(api.services, first)
    started = await api.client.post(f"/api/v1/jobs/{first}/dependencies", json={"depends_on": [second]})
    assert (started.status_code, started.json()["current"]) == (409, "COMPLETED")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("all_complete", "to complete"),
        ("any_complete", "until one of them completes"),
        ("all_finished", "to end"),
        ("none_failed", "to end without a failure"),
        ("any_failed", "until one of them fails"),
    ],
)
async def test_what_a_job_waits_for_is_said_by_its_type(api: Api, kind: str, said: str) -> None:
    parent = await api.submit()
    child = await api.submit(dependencies=[parent], dependency_type=kind)
    reason = (await api.client.get(f"/api/v1/jobs/{child}")).json()["wait_reason"]
    assert reason["summary"] == f"waits for {parent} {said}"
