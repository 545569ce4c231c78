"""POST /jobs: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from app.api.examples import REQUESTS
from app.domain.records import JobQuery
from tests.unit.api.harness import Api

JOBS = "/api/v1/jobs"


async def stored(api: Api) -> int:
    return await api.services.jobs.count(JobQuery())


async def test_the_request_of_the_contract_gives_the_answer_of_the_contract(api: Api) -> None:
    answer = await api.client.post(JOBS, json=REQUESTS["submit_job"]["random forest on iris"])
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["job_id"].startswith("job_")
    assert body["status"] == "QUEUED"
    assert body["message"] == "Job submitted successfully"
    assert body["queue_position"] == 1
    assert "estimated_start_time" in body
    assert body["name"] == "iris-random-forest-species-n100-d5"


async def test_a_dry_run_answers_the_plan_and_stores_nothing(api: Api) -> None:
    body = {"template": "sleep", "parameters": {"seconds": 3}, "resources": {"cpu_cores": 2}}
    answer = await api.client.post(JOBS, json=body, params={"dry_run": "true"})
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert plan["parameters"] == {"seconds": 3}
    assert plan["resources"]["cpu_cores"] == 2
    assert plan["resources_from"]["cpu_cores"] == "request"
    assert plan["resources_from"]["memory_gb"] == "template"
    assert (plan["status"], plan["queue_position"]) == ("QUEUED", 1)
    assert await stored(api) == 0


@pytest.mark.parametrize(
    ("fields", "path", "nearest"),
    [
        ({"tempalte": "noop"}, "tempalte", "template"),
        ({"priority": "hihg"}, "priority", "high"),
        ({"resources": {"cpu_core": 1}}, "resources.cpu_core", "cpu_cores"),
        ({"retry_policy": {"max_attemts": 1}}, "retry_policy.max_attemts", "max_attempts"),
        ({"template": "nop"}, "template", "noop"),
        ({"template": "sleep", "parameters": {"second": 1}}, "parameters.second", "seconds"),
        ({"template": "ml_training", "parameters": {"algorithm": "svn"}}, "parameters.algorithm", "svm"),
    ],
)  # fmt: skip
async def test_an_unknown_name_is_refused_with_the_nearest(
    api: Api, fields: dict[str, Any], path: str, nearest: str
) -> None:
    answer = await api.client.post(JOBS, json={"template": "noop", **fields})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    [error] = answer.json()["errors"]
    assert (error["path"], error["nearest"]) == (path, nearest)
    assert nearest in error["message"]
    assert await stored(api) == 0


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"resources": {"cpu_cores": "4"}}, "resources.cpu_cores"),
        ({"resources": {"cpu_cores": True}}, "resources.cpu_cores"),
        ({"resources": {"cpu_cores": -1}}, "resources.cpu_cores"),
        ({"resources": {"memory_gb": 1e12}}, "resources.memory_gb"),
        ({"resources": {"gpu_count": 0.5}}, "resources.gpu_count"),
        ({"resources": "automatic"}, "resources"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "60"}, "timeout"),
        ({"preemptible": "yes"}, "preemptible"),
        ({"start_after": 5}, "start_after"),
        ({"start_after": "2026-01-01T12:00:00"}, "start_after"),
        ({"start_after": "0001-01-01T00:00:00+14:00"}, "start_after"),
        ({"retry_policy": {"max_attempts": 2.5}}, "retry_policy.max_attempts"),
        ({"dependencies": ["job.1"]}, "dependencies[0]"),
        ({"tags": [1]}, "tags[0]"),
        ({"metadata": {"$where": 1}}, "metadata.$where"),
        ({"metadata": {"a": ["x", "y\0z"]}}, "metadata.a[1]"),
        ({"node_selector": {"a\0": "x"}}, "node_selector.a\0"),
        ({"executor": "inlin"}, "executor"),
        ({"template": None}, "template"),
    ],
)
async def test_a_wrong_value_names_its_field(api: Api, fields: dict[str, Any], path: str) -> None:
    answer = await api.client.post(JOBS, json={"template": "noop", **fields})
    assert answer.status_code == 422, answer.text
    assert [e["path"] for e in answer.json()["errors"]] == [path]
    assert await stored(api) == 0


async def test_a_text_for_a_time_is_told_its_unit(api: Api) -> None:
    fields = {
        "timeout": "1h",
        "queue_deadline": "1d",
        "retry_policy": {"retry_delay": "5s"},
        "resources": {"cpu_cores": "4"},
    }
    answer = await api.client.post(JOBS, json={"template": "noop", **fields})
    told = {e["path"]: e["message"] for e in answer.json()["errors"]}
    assert told.pop("resources.cpu_cores") == "must be a number"
    assert told == dict.fromkeys(
        ["timeout", "queue_deadline", "retry_policy.retry_delay"], "must be a number of seconds"
    )


async def test_all_errors_come_at_once(api: Api) -> None:
    body = {"template": "noop", "priority": "x", "timeout": "y", "colour": 1}
    answer = await api.client.post(JOBS, json=body)
    assert {e["path"] for e in answer.json()["errors"]} == {"priority", "timeout", "colour"}


async def test_every_dependency_type_is_taken_and_no_other(api: Api) -> None:
    for kind in ("all_complete", "any_complete", "all_finished", "none_failed", "any_failed"):
        answer = await api.client.post(JOBS, json={"template": "noop", "dependency_type": kind})
        assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED"), "nothing to wait for"
    answer = await api.client.post(JOBS, json={"template": "noop", "dependency_type": "any_completed"})
    assert answer.json()["errors"][0]["nearest"] == "any_complete"


async def test_a_job_with_an_open_dependency_waits_and_says_for_what(api: Api) -> None:
    parent = await api.submit()
    child = await api.submit(dependencies=[parent])
    job = (await api.client.get(f"{JOBS}/{child}")).json()
    assert job["status"] == "SUBMITTED"
    assert job["wait_reason"]["code"] == "dependencies"
    assert job["queue_position"] is None


@pytest.mark.parametrize("dry_run", ["false", "true"])
async def test_an_unknown_dependency_is_refused(api: Api, dry_run: str) -> None:
    body = {"template": "noop", "dependencies": ["job_none"]}
    answer = await api.client.post(JOBS, json=body, params={"dry_run": dry_run})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_job")


async def test_the_same_key_and_body_give_the_first_answer_again(api: Api) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await api.client.post(JOBS, content=b'{"template":"noop","tags":["a"]}', headers=_json(headers))
    again = await api.client.post(JOBS, content=b'{ "tags": ["a"], "template": "noop" }', headers=_json(headers))
    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await stored(api) == 1


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "k-1"}
    await api.client.post(JOBS, json={"template": "noop"}, headers=headers)
    answer = await api.client.post(JOBS, json={"template": "sleep"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await stored(api) == 1


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b'{"template": "noop", "timeout": NaN}', "invalid_json", "NaN is not JSON"),
        (b'{"template": "noop", "timeout": -Infinity}', "invalid_json", "-Infinity is not JSON"),
        (b'{"template": "noop",', "invalid_json", "not valid JSON"),
        (b"\xff\xfe", "invalid_json", "not valid JSON"),
        (b'"NaN', "invalid_json", "not valid JSON"),
        (b"[1]", "invalid", "must be an object"),
        (b"", "invalid", "a JSON body is required"),
    ],
)
async def test_what_is_not_a_json_object_is_refused(api: Api, content: bytes, code: str, said: str) -> None:
    answer = await api.client.post(JOBS, content=content, headers=_json({}))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code)
    assert said in problem["detail"]


async def test_deep_json_is_refused_by_its_path(api: Api) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"a": deep}
    answer = await api.client.post(JOBS, json={"template": "noop", "parameters": deep})
    [error] = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["path"].startswith("parameters.a.a")
    assert "32 levels" in error["message"]


async def test_absurdly_deep_json_is_refused_quickly(api: Api) -> None:
    content = b'{"template": "noop", "parameters": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = await api.client.post(JOBS, content=content, headers=_json({}))
    assert answer.status_code == 422


async def test_a_body_over_the_cap_is_refused_declared_or_chunked(api: Api) -> None:
    large = b'{"template": "noop", "name": "' + b"x" * (1 << 20) + b'"}'

    async def chunks() -> Any:
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    for content in (large, chunks()):
        answer = await api.client.post(JOBS, content=content, headers=_json({}))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert "MAX_BODY_MB" in answer.json()["detail"]


async def test_a_body_that_is_not_declared_as_json_is_refused(api: Api) -> None:
    answer = await api.client.post(JOBS, content=b'{"template": "noop"}', headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_compressed_body_is_refused_naming_the_remedy(api: Api) -> None:
    headers = _json({"Content-Encoding": "gzip"})
    answer = await api.client.post(JOBS, content=gzip.compress(b'{"template": "noop"}'), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding" in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "identity"
    plain = _json({"Content-Encoding": "identity"})
    assert (await api.client.post(JOBS, content=b'{"template": "noop"}', headers=plain)).status_code == 201


async def test_a_query_parameter_of_one_value_is_not_taken_twice(api: Api) -> None:
    for path, name in ((f"{JOBS}?tag=a&tag=b", "tag"), (f"{JOBS}?limit=1&limit=1", "limit")):
        answer = await api.client.get(path)
        [error] = answer.json()["errors"]
        assert (answer.status_code, error["path"]) == (422, name)
    twice = await api.client.post(f"{JOBS}?dry_run=true&dry_run=false", json={"template": "noop"})
    assert (twice.status_code, await stored(api)) == (422, 0)
    several = await api.client.get(f"{JOBS}?status=QUEUED&status=FAILED&parameter=a:1&parameter=b:2")
    assert several.status_code == 200
    events = "/api/v1/events?types=job.state&types=log.line&status=QUEUED&status=FAILED&timeout_seconds=0.01"
    assert (await api.client.get(events)).status_code == 200


async def test_unknown_query_parameters_are_refused(api: Api) -> None:
    answer = await api.client.post(JOBS, json={"template": "noop"}, params={"dry-run": "true"})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["path"], error["nearest"]) == (422, "dry-run", "dry_run")
    assert await stored(api) == 0
