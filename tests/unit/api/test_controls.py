"""Controls over HTTP: every one of them in every situation, sent again, stale, malformed, and to nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.api.schemas.controls import JobControlled, JobsCancelled
from app.api.schemas.jobs import Job as JobShape
from app.domain.errors import InvalidTransition, Unavailable
from app.domain.job import Job
from app.domain.records import StoredAnswer
from app.storage.memory.answers import MemoryAnswerStore
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape
from tests.unit.domain.builders import a_job
from tests.unit.operations.control_table import CONTROLS, SITUATIONS, outcome

JOBS = "/api/v1/jobs"
SENT: dict[str, tuple[str, dict[str, Any] | None]] = {
    "cancel": ("cancel", None),
    "pause": ("pause", {"reason": "why"}),
    "pause, `release`": ("pause", {"release": True, "reason": "why"}),
    "resume": ("resume", None),
    "retry": ("retry", {"reason": "why"}),
}


async def given(api: Api, job: Job) -> str:
    await api.services.jobs.insert(job)
    return f"{JOBS}/{job.id}"


@pytest.mark.parametrize("control", SENT)
async def test_each_control_in_each_situation(api: Api, control: str) -> None:
    path, body = SENT[control]
    for situation, make in SITUATIONS.items():
        job = make()
        url = await given(api, job)
        answer = await api.client.post(f"{url}/{path}", **({} if body is None else {"json": body}))
        want, found = outcome(job, CONTROLS[control]), answer.json()
        if want == "409":
            assert (answer.status_code, found["code"]) == (409, "invalid_transition"), situation
            assert found["current"] == job.status
            assert f" is {job.status}: " in found["detail"]
            assert not found["detail"].endswith(": .")
            assert set(found["allowed"]) <= {s.value for s in type(job.status)}
            assert await api.job(job.id) == job
            continue
        assert answer.status_code == 200, (situation, answer.text)
        assert_shape(found, JobControlled)
        assert answer.headers["etag"] == f'"{found["seq"]}"'
        asked = f"asks `{found['control']['action']}`" if found["control"] else "takes it back"
        assert want in {"stays" if found["seq"] == job.seq else asked, f"→ {found['status']}"}, situation
        if want != "stays":
            assert (found["history"][-1]["actor"], found["history"][-1]["detail"]) == (
                "anonymous",
                (body or {}).get("reason"),
            )


async def test_a_job_shows_what_is_asked_of_it(api: Api) -> None:
    url = await given(api, replace(a_job("sleep").running().job, infra_losses=1))
    assert (await api.client.get(url)).json()["control"] is None
    await api.client.post(f"{url}/pause", json={"reason": "the node is needed"})
    shown = (await api.client.get(url)).json()
    assert_shape(shown, JobShape)
    assert shown["infra_losses"] == 1
    assert (shown["control"]["action"], shown["control"]["reason"]) == ("pause", "the node is needed")
    [listed] = (await api.client.get(JOBS)).json()["jobs"]
    assert listed["control"] == shown["control"]
    status = (await api.client.get("/api/v1/queue/status")).json()
    assert (status["running_jobs"], status["paused_jobs"]) == (1, 0)


async def test_a_held_job_is_counted_and_says_that_it_is_held(api: Api) -> None:
    job_id = await api.submit()
    held = (await api.client.post(f"{JOBS}/{job_id}/pause")).json()
    assert (held["status"], held["paused_from"], held["wait_reason"]["code"]) == ("PAUSED", "QUEUED", "held")
    assert "at its old place" in held["message"]
    status = (await api.client.get("/api/v1/queue/status")).json()
    assert (status["queue_length"], status["paused_jobs"]) == (0, 1)
    assert (await api.client.get("/api/v1/queue")).json()["jobs"] == []
    back = (await api.client.post(f"{JOBS}/{job_id}/resume")).json()
    assert (back["status"], back["paused_from"], back["queue_position"]) == ("QUEUED", None, 1)


@pytest.mark.parametrize("path", ["cancel", "pause", "resume", "retry"])
class TestEveryControl:
    """What holds for all of them."""

    async def test_nobody_is_touched_by_an_unknown_id(self, api: Api, path: str) -> None:
        bystander = await api.submit()
        for job_id in ("job_none", "JOB", "a.b", "%00", "cancel"):
            answer = await api.client.post(f"{JOBS}/{job_id}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await api.job(bystander)).seq == 1

    async def test_a_stale_version_changes_nothing(self, api: Api, path: str) -> None:
        job = a_job().failed().job if path == "retry" else a_job().queued().held().job
        url = await given(api, job)
        answer = await api.client.post(f"{url}/{path}", headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")
        assert answer.json()["current"] == str(job.seq)
        assert await api.job(job.id) == job
        good = await api.client.post(f"{url}/{path}", headers={"If-Match": f'"{job.seq}"'})
        assert good.status_code == 200

    async def test_a_key_is_answered_again_with_its_etag(self, api: Api, path: str) -> None:
        job = a_job().failed().job if path == "retry" else a_job().queued().held().job
        url, headers = await given(api, job), {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(api.client.post(f"{url}/{path}", headers=headers) for _ in range(6)))
        assert {(a.status_code, a.content, a.headers["etag"]) for a in answers} == {
            (200, answers[0].content, f'"{answers[0].json()["seq"]}"')
        }
        assert (await api.job(job.id)).seq <= job.seq + 1
        other = await api.client.post(f"{url}/{path}", headers=headers, json={"reason": "another body"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

    @pytest.mark.parametrize(
        ("body", "at"),
        [
            ({"reasn": "x"}, "reasn"),
            ({"reason": 7}, "reason"),
            ({"reason": "x" * 501}, "reason"),
            ({"reason": "a\0b"}, "reason"),
            ([1], ""),
        ],
    )
    async def test_a_bad_body_names_its_fault_and_changes_nothing(
        self, api: Api, path: str, body: Any, at: str
    ) -> None:
        job = a_job().failed().job if path == "retry" else a_job().queued().job
        url = await given(api, job)
        answer = await api.client.post(f"{url}/{path}", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["path"] == at
        assert await api.job(job.id) == job


async def test_a_lost_answer_of_a_retry_is_given_again_under_its_key(api: Api) -> None:
    """The retry is durable and its answer could not be stored: without the key in the history it would be refused."""

    class Losing(MemoryAnswerStore):
        lost = False

        async def put(self, answer: StoredAnswer) -> StoredAnswer | None:
            if not self.lost:
                self.lost = True
                raise Unavailable("MongoDB")
            return await super().put(answer)

    object.__setattr__(api.services, "answers", Losing())
    job = a_job().failed().job
    url = await given(api, job)
    sent = [await api.client.post(f"{url}/retry", headers={"Idempotency-Key": "k"}) for _ in range(3)]
    assert [answer.status_code for answer in sent] == [503, 200, 200]
    assert sent[1].json()["seq"] == sent[2].json()["seq"] == job.seq + 1
    plain = await api.client.post(f"{url}/retry")
    assert plain.status_code == 409


def test_a_refusal_names_what_is_in_the_way() -> None:
    refusal = InvalidTransition("job_1", "RUNNING", "PAUSED", ("CANCELLED",), "it is being cancelled")
    assert refusal.message == "Job job_1 is RUNNING: it is being cancelled."
    assert (refusal.wanted, refusal.allowed) == ("PAUSED", ("CANCELLED",))
    bare = InvalidTransition("job_1", "RUNNING", "SUBMITTED", ("PAUSED", "CANCELLED"))
    assert bare.message == "Job job_1 is RUNNING: it cannot become SUBMITTED from here, only PAUSED, CANCELLED."
    assert InvalidTransition("job_1", "COMPLETED", "PAUSED", ()).message.endswith(
        "it has ended, and cannot become PAUSED."
    )


class TestCancelJobs:
    """POST /jobs/cancel."""

    URL = f"{JOBS}/cancel"

    async def test_it_cancels_what_matches_all_filters(self, api: Api) -> None:
        red = await api.submit(tags=["red"], priority="high")
        await api.submit(tags=["red"])
        await api.submit(priority="high")
        body = {"tag": "red", "priority": "high", "reason": "wrong data"}
        dry = await api.client.post(self.URL, json={**body, "dry_run": True})
        assert (await api.job(red)).status == "QUEUED"
        done = await api.client.post(self.URL, json=body)
        assert_shape(done.json(), JobsCancelled)
        counts = {"matched": 1, "cancelled": 1, "requested": 0, "already_cancelled": 0, "failed": 0}
        assert (dry.json(), done.json()) == ({**counts, "dry_run": True}, {**counts, "dry_run": False})
        job = await api.job(red)
        assert (job.status, job.history[-1].detail) == ("CANCELLED", "wrong data")
        assert len((await api.client.get(JOBS, params={"status": "QUEUED"})).json()["jobs"]) == 2

    @pytest.mark.parametrize("status", ["RUNNING", ["RUNNING", "PAUSED"]])
    async def test_a_state_may_stand_alone_or_in_a_list(self, api: Api, status: Any) -> None:
        await given(api, a_job("sleep").running().job)
        api.clock.advance(400 * 86_400)
        done = await api.client.post(self.URL, json={"status": status})
        assert (done.json()["matched"], done.json()["requested"]) == (1, 1)

    async def test_a_key_gives_the_first_counts_again(self, api: Api) -> None:
        await api.submit(tags=["t"])
        sent = [await api.client.post(self.URL, json={"tag": "t"}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert sent[0].content == sent[1].content
        assert (await api.client.post(self.URL, json={"tag": "t"})).json()["matched"] == 0

    @pytest.mark.parametrize(
        ("body", "at"),
        [
            (None, ""),
            ({}, ""),
            ({"reason": "x"}, ""),
            ({"dry_run": True}, ""),
            ({"status": []}, ""),
            ({"q": "  "}, ""),
            ({"tag": ""}, ""),
            ({"tags": "x"}, "tags"),
            ({"status": "queued"}, "status"),
            ({"status": ["QUEUED", "COMPLETED"]}, "status[1]"),
            ({"priority": "urgnt"}, "priority"),
            ({"submitted_before": 5}, "submitted_before"),
            ({"tag": "x", "dry_run": "yes"}, "dry_run"),
        ],
    )
    async def test_what_would_mean_every_job_or_none_is_refused(self, api: Api, body: Any, at: str) -> None:
        job_id = await api.submit()
        answer = await api.client.post(self.URL, **({} if body is None else {"json": body}))
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["path"] == at
        assert (await api.job(job_id)).status == "QUEUED"
