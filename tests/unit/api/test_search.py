"""Search over HTTP: words, tags and parameters, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.harness import Api

JOBS = "/api/v1/jobs"
IRIS = {
    "template": "ml_training",
    "parameters": {"algorithm": "svm", "hyperparameters": {"C": 10.0}},
    "tags": ["Night"],
}
WINE = {"template": "ml_training", "parameters": {"dataset": "wine", "algorithm": "knn"}, "name": "A (b)+ name"}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"q": "svm"}, "i"),
        ({"q": "NIG"}, "i"),
        ({"q": "iris night"}, "i"),
        ({"q": "(b)+"}, ""),
        ({"q": "b)+ na"}, "w"),
        ({"q": ".*"}, ""),
        ({"q": "  "}, "iw"),
        ({"tag": "Night"}, "i"),
        ({"parameter": "C:10"}, "i"),
        ({"parameter": "hyperparameters.C:1e1"}, "i"),
        ({"parameter": "hyperparameters.C: 10.0 "}, "i"),
        ({"parameter": "C:100"}, ""),
        ({"parameter": ["dataset_name:wine", "algorithm:KNN"]}, "w"),
        ({"parameter": ["dataset_name:wine", "algorithm:svm"]}, ""),
        ({"parameter": "dataset_name:a:b"}, ""),
        ({"parameter": "$where:1"}, ""),
        ({"q": "iris", "parameter": "algorithm:svm", "template": "ml_training"}, "i"),
    ],
)
async def test_jobs_are_found(api: Api, query: dict[str, Any], wanted: str) -> None:
    ids = {(await api.client.post(JOBS, json=body)).json()["job_id"]: name for name, body in (("i", IRIS), ("w", WINE))}
    answer = await api.client.get(JOBS, params={**query, "include": "total"})
    assert answer.status_code == 200, answer.text
    assert "".join(sorted(ids[job["job_id"]] for job in answer.json()["jobs"])) == wanted
    assert answer.json()["total"] == len(wanted)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"q": "x" * 201}, "q"),
        ({"q": "a\0b"}, "q"),
        ({"parameter": "C"}, "parameter[0]"),
        ({"parameter": ["C:1", ":1"]}, "parameter[1]"),
        ({"parameter": f"C:{'x' * 300}"}, "parameter[0]"),
        ({"parameter": [f"p{n}:1" for n in range(6)]}, "parameter"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(api: Api, query: dict[str, Any], path: str) -> None:
    answer = await api.client.get(JOBS, params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["path"] == path


async def test_a_job_without_a_name_is_found_by_the_one_it_got(api: Api) -> None:
    for number in ("", "-2", "-3"):
        job_id = (await api.client.post(JOBS, json=IRIS)).json()["job_id"]
        assert (await api.job(job_id)).name == f"iris-svm-c10{number}"
        found = (await api.client.get(JOBS, params={"q": f"iris-svm-c10{number}"})).json()["jobs"]
        assert job_id in [job["job_id"] for job in found]
