"""Data sets: registered, read, forgotten; the built-in ones stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.api.examples import REQUESTS
from app.api.schemas import definitions as shapes
from tests.unit.api.harness import Api, running_api
from tests.unit.api.shapes import assert_shape

DATASETS = "/api/v1/datasets"


async def test_a_data_set_is_registered_read_and_forgotten(api: Api) -> None:
    answer = await api.client.post(DATASETS, json=REQUESTS["create_dataset"]["a file"])
    assert answer.status_code == 201, answer.text
    assert_shape(answer.json(), shapes.DatasetRegistered)
    registered = {name: value for name, value in answer.json().items() if name != "message"}
    assert (await api.client.get(f"{DATASETS}/churn")).json() == registered
    listing = (await api.client.get(DATASETS)).json()
    assert_shape(listing, shapes.DatasetList)
    assert [d["name"] for d in listing["datasets"]][:1] == ["iris"]
    assert listing["datasets"][-1] == registered
    api.clock.advance(1)
    taken = await api.client.post(DATASETS, json=REQUESTS["create_dataset"]["a file"])
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_exists")
    assert (await api.client.delete(f"{DATASETS}/churn")).status_code == 204
    gone = await api.client.get(f"{DATASETS}/churn")
    assert gone.status_code == 404
    assert (await api.client.delete(f"{DATASETS}/churn")).status_code == 404


async def test_a_file_that_is_not_here_may_be_on_the_nodes_and_the_answer_says_so(tmp_path: Path) -> None:
    (tmp_path / "here.csv").write_text("a,b\n1,2\n")
    async with running_api(DATA_ROOT=str(tmp_path)) as api:
        answers = [await api.client.post(DATASETS, json={"name": n, "path": f"{n}.csv"}) for n in ("here", "away")]
    assert [answer.status_code for answer in answers] == [201, 201]
    here, away = (answer.json()["message"] for answer in answers)
    assert here == "Data set registered"
    assert "DATA_ROOT" in away and "away.csv" in away


async def test_a_built_in_data_set_stays(api: Api) -> None:
    assert (await api.client.get(f"{DATASETS}/iris")).json()["target_column"] == "species"
    for answer in (
        await api.client.delete(f"{DATASETS}/iris"),
        await api.client.post(DATASETS, json={"name": "iris", "path": "a.csv"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "built_in")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.csv", "a/../../x.csv", "s3://b/x.csv", "x.txt", "", "~/x.csv"])
async def test_a_path_outside_the_data_root_is_refused(api: Api, path: str) -> None:
    answer = await api.client.post(DATASETS, json={"name": "mine", "path": path})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_dataset")
    assert answer.json()["errors"][0]["path"] == "path"
    assert len((await api.client.get(DATASETS)).json()["datasets"]) == 5
