"""Jobs that wait for each other and jobs that are one thing, on real processes: one service and one node for all."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from standardwebhooks.webhooks import Webhook

from app.dev.embedded import Endpoints
from app.domain.dependencies import End, outcome
from app.domain.job import DependencyType
from tests.e2e.conftest import settings_of
from tests.support.gates import until_there
from tests.support.processes import Api, api, worker
from tests.support.wait import until
from tests.unit.api.harness import frames

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMgbG9uZw=="
NOOP = {"template": "noop", "executor": "inline"}
LIGHT = {"cpu_cores": 0.1, "memory_gb": 0.1, "storage_gb": 0}
FAILS = {"template": "command", "parameters": {"command": ["false"]}, "retry_policy": {"max_attempts": 1}}
ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
Http = httpx.AsyncClient


def sleeping(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"template": "sleep", "executor": "inline", "parameters": {"seconds": seconds}, "resources": LIGHT, **fields}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(home: Path, servers: Endpoints) -> AsyncIterator[Api]:
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"batches_{os.getpid()}", home)
    env |= {"MAX_CONCURRENT_JOBS": "60", "CALLBACK_SECRET": SECRET, "CALLBACK_PRIVATE": "yes"}
    async with api(home, env) as found, worker(home, env, found):
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def http(served: Api) -> AsyncIterator[Http]:
    async with Http(base_url=f"{served.url}/api/v1", trust_env=False, timeout=60) as found:
        yield found


async def submitted(http: Http, **fields: Any) -> str:
    answer = await http.post("/jobs", json={**NOOP, "resources": LIGHT, **fields})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def batch_of(http: Http, *jobs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await http.post("/jobs/batch", json={"jobs": list(jobs), **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def job(http: Http, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/jobs/{job_id}")).json()
    return found


async def states(http: Http, job_ids: list[str]) -> list[str]:
    return [(await job(http, job_id))["status"] for job_id in job_ids]


async def settled(http: Http, batch_id: str) -> dict[str, Any]:
    """The batch once it has ended."""

    async def ended() -> dict[str, Any] | None:
        batch: dict[str, Any] = (await http.get(f"/batches/{batch_id}")).json()
        return batch if batch["status"] in ENDED else None

    found = await until(ended, 150, every=0.05)
    assert found is not None
    return found


def later(hours: float = 5) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()  # noqa: TID251


class TestDependencies:
    async def test_every_type_against_every_end_of_its_parents(self, http: Http) -> None:
        """The table in docs/workflows.md, cell by cell: each child is there before its parents end."""
        await http.post("/queue/pause")
        endless = sleeping(60, timeout=1, retry_policy={"max_attempts": 1}, executor="process")
        parents = {
            End.OPEN: await submitted(http, start_after=later()),
            End.COMPLETED: await submitted(http),
            End.FAILED: await submitted(http, **FAILS, executor="process"),
            End.TIMEOUT: await submitted(http, **endless),
            End.CANCELLED: await submitted(http),
        }
        cells = [(kind, ends) for kind in DependencyType for end in parents for ends in _beside(end)]
        children = {
            cell: await submitted(http, dependency_type=cell[0], dependencies=[parents[end] for end in cell[1]])
            for cell in cells
        }
        assert len(children) == 5 * (5 + 4 + 4)
        assert set(await states(http, [*children.values()])) == {"SUBMITTED"}
        await http.post(f"/jobs/{parents[End.CANCELLED]}/cancel")
        await http.post("/queue/resume")
        into = {"runs": "COMPLETED", "waits": "SUBMITTED", "can no longer run": "FAILED"}
        want = {cell: into[outcome(cell[0], *cell[1])] for cell in cells}

        async def as_the_table_says() -> bool:
            return dict(zip(cells, await states(http, [*children.values()]), strict=True)) == want

        await until(as_the_table_says, 150, every=0.5)
        assert await states(http, [*parents.values()]) == [
            "SUBMITTED" if end is End.OPEN else end.value for end in parents
        ]
        for cell, child in children.items():
            if want[cell] == "FAILED":
                last = (await job(http, child))["history"][-1]
                assert last["reason"] == "dependency_failed" and last["detail"] in parents.values(), cell
        await http.post(f"/jobs/{parents[End.OPEN]}/cancel")
        waited = [child for cell, child in children.items() if want[cell] == "SUBMITTED"]
        assert "SUBMITTED" not in await states(http, waited), "nothing waits for what has ended"

    async def test_of_two_that_close_a_cycle_at_once_exactly_one_is_refused(self, http: Http) -> None:
        for _ in range(15):
            a, b = await submitted(http, start_after=later()), await submitted(http, start_after=later())
            answers = await asyncio.gather(
                http.post(f"/jobs/{a}/dependencies", json={"depends_on": [b], "dependency_type": "all_complete"}),
                http.post(f"/jobs/{b}/dependencies", json={"depends_on": [a], "dependency_type": "all_complete"}),
            )
            assert sorted(answer.status_code for answer in answers) == [200, 422]
            [refused] = [answer.json() for answer in answers if answer.status_code == 422]
            assert refused["code"] == "cycle" and a in refused["detail"] and b in refused["detail"]
            await http.post("/jobs/cancel", json={"status": ["SUBMITTED"]})

    async def test_a_queued_job_waits_and_goes_on_when_its_parents_have_ended(self, http: Http) -> None:
        parent = await submitted(http, start_after=later())
        child = await submitted(http, **sleeping(0), node_selector={"no": "node"})
        assert (await job(http, child))["status"] == "QUEUED"
        answer = await http.post(f"/jobs/{child}/dependencies", json={"depends_on": [parent]})
        assert (answer.status_code, answer.json()["status"]) == (200, "SUBMITTED")

        async def unlisted() -> bool:
            return child not in {j["job_id"] for j in (await http.get("/queue")).json()["jobs"]}

        await until(unlisted)
        refused = await http.post(f"/jobs/{parent}/dependencies", json={"depends_on": [child]})
        assert refused.json()["code"] == "cycle"
        await http.post(f"/jobs/{parent}/cancel")
        assert (await job(http, child))["status"] == "FAILED"

    async def test_a_hopeless_chain_ends_whole_with_its_first_cause_and_priority_goes_up(self, http: Http) -> None:
        first = await submitted(http, start_after=later(), priority="low")
        chain = [first]
        for n in range(50):
            chain.append(await submitted(http, dependencies=[chain[-1]], priority="urgent" if n == 49 else "low"))

        async def lent() -> bool:
            return bool((await job(http, first))["effective_priority"] == "urgent")

        await until(lent, every=0.1)
        await http.post(f"/jobs/{first}/cancel")

        async def all_ended() -> bool:
            return set(await states(http, chain[1:])) == {"FAILED"}

        await until(all_ended, every=0.1)
        assert {(await job(http, job_id))["history"][-1]["detail"] for job_id in chain[1:]} == {first}


def _beside(end: End) -> list[tuple[End, ...]]:
    """The parents of the table's cells for this end: alone, beside an open one, beside a completed one."""
    return [
        (end,),
        *([(end, End.OPEN)] if end is not End.OPEN else []),
        *([(end, End.COMPLETED)] if end is not End.COMPLETED else []),
    ]


class TestBatches:
    async def test_a_parallel_batch_runs_and_is_told_of(self, http: Http, served: Api) -> None:
        """Its jobs begin when the stream is open: what was before is not told on it."""
        await http.post("/queue/pause")
        body = await batch_of(http, *(sleeping(0.05) for _ in range(12)), max_parallel=4)
        async with http.stream("GET", f"/batches/{body['batch_id']}/events", params={"timeout_seconds": 120}) as stream:
            coming = frames(stream)
            told = [await anext(coming)]
            await http.post("/queue/resume")
            told += [frame async for frame in coming]
        assert json.loads(told[-1].data)["status"] == "COMPLETED"
        assert told[0].event == "batch.state"
        seen = [json.loads(frame.data) for frame in told if frame.event == "job.state"]
        assert {event["job_id"] for event in seen} <= set(body["job_ids"])
        assert sum(event["to"] == "COMPLETED" for event in seen) == 12
        batch = await settled(http, body["batch_id"])
        assert (batch["counts"]["completed"], batch["progress"]) == (12, 1.0)
        assert await self._most_at_once(http, body["job_ids"]) <= 4

    async def _most_at_once(self, http: Http, job_ids: list[str]) -> int:
        """How many of these jobs were in the queue or further at the same time, by their histories."""
        moments: list[tuple[str, int]] = []
        for job_id in job_ids:
            history = (await job(http, job_id))["history"]
            begun = next(entry["at"] for entry in history if entry["to"] == "QUEUED")
            moments += [(begun, 1), (history[-1]["at"], -1)]
        most = now = 0
        for _, step in sorted(moments):
            now += step
            most = max(most, now)
        return most

    async def test_a_sequential_batch_goes_one_by_one_whatever_becomes_of_each(self, http: Http) -> None:
        jobs = [sleeping(0.05), {**FAILS, "resources": LIGHT}, sleeping(0.05), sleeping(0.05)]
        body = await batch_of(http, *jobs, execution_mode="sequential")
        batch = await settled(http, body["batch_id"])
        assert (batch["status"], batch["counts"]["completed"], batch["counts"]["failed"]) == ("FAILED", 3, 1)
        histories = [(await job(http, job_id))["history"] for job_id in body["job_ids"]]
        for before, after in pairwise(histories):
            queued = next(entry["at"] for entry in after if entry["to"] == "QUEUED")
            assert before[-1]["at"] <= queued

    async def test_fail_fast_ends_what_is_open_and_retry_takes_it_up_again(self, http: Http, tmp_path: Path) -> None:
        flag = tmp_path / "ready"
        needs = {"template": "command", "parameters": {"command": ["test", "-e", str(flag)]}, "resources": LIGHT}
        once = {**needs, "retry_policy": {"max_attempts": 1}}
        body = await batch_of(http, once, *(sleeping(30) for _ in range(3)), fail_fast=True)
        batch = await settled(http, body["batch_id"])
        assert (batch["status"], batch["counts"]["failed"], batch["counts"]["cancelled"]) == ("FAILED", 1, 3)
        assert batch["history"][-1]["detail"] == f"fail_fast: {body['job_ids'][0]} ended FAILED"
        flag.touch()
        retried = await http.post(f"/batches/{body['batch_id']}/retry")
        assert (retried.status_code, retried.json()["status"]) == (200, "RUNNING")
        await http.post(f"/batches/{body['batch_id']}/cancel", json={"reason": "long enough"})
        batch = await settled(http, body["batch_id"])
        assert batch["status"] == "CANCELLED"

    async def test_pause_holds_what_waits_and_what_runs_ends(self, http: Http, tmp_path: Path) -> None:
        flag = tmp_path / "go"
        lasting = {"template": "command", "parameters": {"command": until_there(flag)}, "resources": LIGHT}
        body = await batch_of(http, *[lasting] * 6, max_parallel=2)

        async def two_run() -> bool:
            return (await states(http, body["job_ids"]))[:2] == ["RUNNING", "RUNNING"]

        await until(two_run, every=0.05)
        assert (await http.post(f"/batches/{body['batch_id']}/pause")).json()["status"] == "PAUSED"

        async def as_wished() -> bool:
            counts = (await http.get(f"/batches/{body['batch_id']}")).json()["counts"]
            return (counts["paused"], counts["running"]) == (4, 2)

        await until(as_wished, every=0.05)
        flag.touch()

        async def two_ended() -> bool:
            return (await states(http, body["job_ids"]))[:2] == ["COMPLETED", "COMPLETED"]

        await until(two_ended, every=0.1)
        assert (await states(http, body["job_ids"]))[2:] == ["PAUSED"] * 4
        assert (await http.post(f"/batches/{body['batch_id']}/resume")).json()["status"] == "RUNNING"
        assert (await settled(http, body["batch_id"]))["status"] == "COMPLETED"

    async def test_a_thousand_jobs_in_one_call_and_one_bad_one_refuses_all(self, http: Http) -> None:
        jobs = [
            {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "C": 1 + n}} for n in range(3_000)
        ]
        bad = [dict(each) for each in jobs]
        bad[2_718] = {"template": "hyperparameter_tuning", "parameters": {"algorithm": "svm", "x": 1}}
        before = len((await http.get("/batches", params={"limit": 500})).json()["batches"])
        refused = await http.post("/jobs/batch", json={"jobs": bad})
        assert [e["path"] for e in refused.json()["errors"]] == ["jobs[2718].parameters.x"]
        assert len((await http.get("/batches", params={"limit": 500})).json()["batches"]) == before
        await http.post("/queue/pause")
        try:
            body = await batch_of(http, *jobs)
            total = await http.get("/jobs", params={"batch_id": body["batch_id"], "include": "total", "limit": 1})
            assert (len(set(body["job_ids"])), total.json()["total"]) == (3_000, 3_000)
            names = {j["name"] for j in (await http.get("/jobs", params={"batch_id": body["batch_id"]})).json()["jobs"]}
            assert len(names) == 50
            cancelled = await http.delete(f"/batches/{body['batch_id']}")
            assert cancelled.status_code == 200
            assert (await settled(http, body["batch_id"]))["counts"]["cancelled"] == 3_000
        finally:
            await http.post("/queue/resume")

    async def test_a_receiver_is_told_once_how_it_ended(self, http: Http) -> None:
        got: list[tuple[dict[str, str], bytes]] = []

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:])}
            got.append((headers, await reader.readexactly(int(headers["content-length"]))))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(receive, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/done"
            body = await batch_of(http, sleeping(0), sleeping(0), callback_url=url)
            await settled(http, body["batch_id"])

            async def delivered() -> bool:
                batch = (await http.get(f"/batches/{body['batch_id']}")).json()
                return batch["callback"]["delivered_at"] is not None

            await until(delivered, every=0.1)
        [(headers, content)] = got
        said = Webhook(SECRET).verify(content, headers)
        assert (said["type"], said["data"]["id"], said["data"]["status"]) == (
            "batch.ended",
            body["batch_id"],
            "COMPLETED",
        )
