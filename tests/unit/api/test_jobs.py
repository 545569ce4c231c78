"""Reading, listing and cancelling jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.api.schemas import jobs as shapes
from app.api.schemas.controls import JobControlled
from app.domain.job import JobError, Progress, StepState
from app.domain.transitions import RunEnd, complete, fail, place, start
from tests.unit.api.harness import Api
from tests.unit.api.shapes import assert_shape

JOBS = "/api/v1/jobs"


async def test_a_job_has_every_field_of_its_shape(api: Api) -> None:
    job_id = await api.submit(tags=["a"], metadata={"x": [1]}, start_after="2030-01-01T00:00:00+02:00")
    body = (await api.client.get(f"{JOBS}/{job_id}")).json()
    assert_shape(body, shapes.Job)
    assert body["start_after"] == "2029-12-31T22:00:00.000Z"
    assert body["wait_reason"]["code"] == "start_time"


async def test_a_job_that_ran_has_every_field_of_its_shape(api: Api) -> None:
    job = await api.job(await api.submit())
    job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    job = await api.commit(job, start(job, api.services.stamp()))
    steps = (StepState("noop", "RUNNING", api.clock.now()),)
    progress = Progress(1, api.clock.now(), 0.5, "noop", "1/2", steps, {"loss": 0.25})
    assert await api.services.jobs.save_progress(job.id, progress)
    running = (await api.client.get(f"{JOBS}/{job.id}")).json()
    assert_shape(running, shapes.Job)
    assert (running["progress"], running["current_step"], running["metrics"]) == (0.5, "noop", {"loss": 0.25})
    error = JobError("error", "boom", "noop", 1, None, "f00", ("line",))
    job = await api.job(job.id)
    await api.commit(job, fail(job, "error", RunEnd(12.5, 0.1, error=error), api.services.stamp()))
    failed = (await api.client.get(f"{JOBS}/{job.id}")).json()
    assert_shape(failed, shapes.Job)
    assert failed["attempts"][0]["outcome"] == "error"
    assert failed["error"]["log_tail"] == ["line"]
    assert [e["to"] for e in failed["history"]] == ["QUEUED", "SCHEDULED", "RUNNING", "FAILED"]


async def test_a_completed_job_is_at_one(api: Api) -> None:
    job = await api.job(await api.submit())
    job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    job = await api.commit(job, start(job, api.services.stamp()))
    end = RunEnd(result={"metrics": {"accuracy": 0.96}, "steps": {"noop": {}}})
    await api.commit(job, complete(job, end, api.services.stamp()))
    body = (await api.client.get(f"{JOBS}/{job.id}")).json()
    assert (body["progress"], body["metrics"]) == (1.0, {"accuracy": 0.96})


async def test_the_etag_is_seq(api: Api) -> None:
    job_id = await api.submit()
    answer = await api.client.get(f"{JOBS}/{job_id}")
    assert answer.headers["etag"] == '"1"'
    assert answer.json()["seq"] == 1


@pytest.mark.parametrize("job_id", ["job_none", "job.1", "JOB", "a" * 65, "%00", "..%2Fx", "job_1-2"])
async def test_an_unknown_or_malformed_id_is_not_found(api: Api, job_id: str) -> None:
    for path in ("", "/logs", "/metrics", "/artifacts", "/events"):
        answer = await api.client.get(f"{JOBS}/{job_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.client.delete(f"{JOBS}/{job_id}")).status_code == 404


async def test_cancelling_twice_is_cancelling_once(api: Api) -> None:
    job_id = await api.submit()
    first = await api.client.delete(f"{JOBS}/{job_id}", params={"reason": "no longer needed"})
    again = await api.client.post(f"{JOBS}/{job_id}/cancel")
    assert first.status_code == again.status_code == 200
    assert first.headers["etag"] == '"2"'
    assert_shape(first.json(), JobControlled)
    assert again.json()["history"] == first.json()["history"]
    assert first.json()["history"][-1]["detail"] == "no longer needed"


async def test_a_cancel_honours_if_match(api: Api) -> None:
    job_id = await api.submit()
    stale = await api.client.post(f"{JOBS}/{job_id}/cancel", headers={"If-Match": '"7"'}, json={"reason": "x"})
    assert (stale.status_code, stale.json()["code"], stale.json()["current"]) == (412, "stale_version", "1")
    assert (await api.job(job_id)).status == "QUEUED"
    malformed = await api.client.delete(f"{JOBS}/{job_id}", headers={"If-Match": "abc"})
    assert (malformed.status_code, malformed.json()["errors"][0]["path"]) == (422, "If-Match")
    good = await api.client.delete(f"{JOBS}/{job_id}", headers={"If-Match": 'W/"1"'})
    assert good.json()["status"] == "CANCELLED"


async def test_a_completed_job_cannot_be_cancelled(api: Api) -> None:
    job = await api.job(await api.submit())
    job = await api.commit(job, place(job, "node-1", (), api.services.stamp()))
    job = await api.commit(job, start(job, api.services.stamp()))
    await api.commit(job, complete(job, RunEnd(result={}), api.services.stamp()))
    problem = (await api.client.delete(f"{JOBS}/{job.id}")).json()
    assert (problem["status"], problem["code"], problem["current"]) == (409, "invalid_transition", "COMPLETED")
    assert problem["allowed"] == []


async def test_a_keyed_cancel_is_answered_again(api: Api) -> None:
    job_id = await api.submit()
    headers = {"Idempotency-Key": "c"}
    first = await api.client.post(f"{JOBS}/{job_id}/cancel", headers=headers)
    again = await api.client.post(f"{JOBS}/{job_id}/cancel", headers=headers)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    other = await api.client.post(f"{JOBS}/{await api.submit()}/cancel", headers=headers)
    assert other.status_code == 200, "a key belongs to one path"


async def test_a_listing_pages_newest_first_without_gap_or_repeat(api: Api) -> None:
    made = []
    for _ in range(7):
        made.append(await api.submit())
        api.clock.advance(1)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(4):
        page = (await api.client.get(JOBS, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += [job["job_id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    assert cursor is None


async def test_a_listing_filters_and_counts(api: Api) -> None:
    a = await api.submit(tags=["red"], priority="high", name="first red")
    b = await api.submit(template="sleep", tags=["blue"])
    await api.client.delete(f"{JOBS}/{b}")
    later = (api.clock.now() + timedelta(hours=1)).isoformat()
    wants: list[tuple[dict[str, object], list[str]]] = [
        ({"status": "QUEUED"}, [a]),
        ({"status": ["QUEUED", "CANCELLED"]}, [b, a]),
        ({"template": "sleep"}, [b]),
        ({"tag": "red"}, [a]),
        ({"priority": "high"}, [a]),
        ({"q": "first"}, [a]),
        ({"submitted_after": later}, []),
        ({"submitted_before": later}, [b, a]),
        ({"batch_id": "batch_1"}, []),
    ]
    for params, want in wants:
        answer = await api.client.get(JOBS, params={**params, "include": "total"})  # type: ignore[dict-item]
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert_shape(body, shapes.JobList)
        assert sorted(job["job_id"] for job in body["jobs"]) == sorted(want), params
        assert body["total"] == len(want), params
    oldest = (await api.client.get(JOBS, params={"sort": "submitted_at"})).json()
    assert oldest["total"] is None
    assert {j["job_id"] for j in oldest["jobs"]} == {a, b}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"cursor": "zzz"}, "cursor"),
        ({"cursor": "am9icyB4"}, "cursor"),
        ({"limit": 501}, "limit"),
        ({"limit": 0}, "limit"),
        ({"status": "queued"}, "status[0]"),
        ({"statsu": "QUEUED"}, "statsu"),
        ({"q": "a\0"}, "q"),
        ({"submitted_after": "yesterday"}, "submitted_after"),
    ],
)
async def test_a_bad_filter_names_itself(api: Api, params: dict[str, str], path: str) -> None:
    answer = await api.client.get(JOBS, params=params)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["path"] == path


async def test_states_with_a_comma_between_are_refused_with_the_way_to_say_it(api: Api) -> None:
    answer = await api.client.get(JOBS, params={"status": "COMPLETED,FAILED"})
    [error] = answer.json()["errors"]
    assert error["message"].endswith("; give each by itself: status=COMPLETED&status=FAILED")


async def test_a_cursor_belongs_to_its_listing(api: Api) -> None:
    for _ in range(2):
        await api.submit()
    cursor = (await api.client.get(JOBS, params={"limit": 1})).json()["next_cursor"]
    for path, params in ((JOBS, {"sort": "submitted_at"}), ("/api/v1/queue", {})):
        answer = await api.client.get(path, params={"cursor": cursor, **params})
        assert answer.status_code == 422
