"""The local provider over processes that only wait: none is started twice, none is lost, whatever is cut off when."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from app.config import load_settings
from app.domain.ports import Ack
from app.providers import local
from app.providers.local import LocalProvider
from app.providers.records import Record, Records
from tests.support.wait import until

TYPES = json.dumps(
    {
        "small": {"cpu_cores": 2, "memory_gb": 4, "labels": {"disk": "ssd"}},
        "gpu": {"cpu_cores": 4, "memory_gb": 8, "gpu_count": 1, "storage_gb": 0},
    }
)
WAITS = "import json, os, signal, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w')); signal.pause()"


class Bench:
    """A folder, and providers of processes that lead one after the other there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        environ = {
            "DATA_DIR": str(folder),
            "NODE_TYPES": TYPES,
            "CAPACITY_PROVIDER": "local",
            "KILL_GRACE_SECONDS": "7",
        }
        self.settings = load_settings({**environ, "NODE_ID": "mine", "CAPACITY_INTERVAL_SECONDS": "3"})
        self.records = Records(folder / local.FOLDER)
        monkeypatch.setattr(local, "tensorfleet", self._command)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", WAITS, str(self.folder / f"{arguments[-1]}.env"), *arguments]

    def provider(self) -> LocalProvider:
        return LocalProvider(self.settings)

    def alive(self) -> dict[str, int]:
        return {record.node_id: process.pid for record, process in self.records.alive()}

    async def environment(self, node_id: str) -> dict[str, str]:
        path = self.folder / f"{node_id}.env"
        await until(lambda: path.exists() and path.read_text().endswith("}"))
        found: dict[str, str] = json.loads(path.read_text())
        return found


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, monkeypatch)
    yield bench
    for pid in bench.alive().values():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: bench.alive() == {})


async def test_a_plan_is_carried_out_once_however_often_it_is_told(bench: Bench) -> None:
    for provider in (bench.provider(), bench.provider()):
        for _ in range(2):
            assert await provider.scale("p1", {"small": 2, "gpu": 1}, [], {}) == Ack(accepted=True)
    assert sorted(bench.alive()) == ["local-gpu-1", "local-small-1", "local-small-2"]
    nodes = await bench.provider().nodes()
    assert {(n.id, n.type, n.plan_id) for n in nodes} == {
        ("local-gpu-1", "gpu", "p1"), ("local-small-1", "small", "p1"), ("local-small-2", "small", "p1"),
    }  # fmt: skip


async def test_an_unknown_type_is_a_no_and_nothing_is_started(bench: Bench) -> None:
    assert not (await bench.provider().scale("p1", {"small": 1, "huge": 1}, [], {})).accepted
    assert bench.records.all() == []


async def test_a_worker_that_was_noted_and_not_started_is_started(bench: Bench) -> None:
    bench.records.write(Record("local-small-1", "small", "p1"))
    assert await bench.provider().nodes() == []
    await bench.provider().scale("p1", {"small": 1}, [], {})
    assert list(bench.alive()) == ["local-small-1"]


async def test_a_worker_that_was_started_and_not_noted_any_more_is_found(bench: Bench) -> None:
    await bench.provider().scale("p1", {"small": 1}, [], {})
    before = bench.alive()
    [record] = bench.records.all()
    bench.records.write(replace(record, pid=None, started=None))
    assert [node.id for node in await bench.provider().nodes()] == ["local-small-1"]
    await bench.provider().scale("p1", {"small": 1}, [], {})
    assert bench.alive() == before
    assert bench.records.all() == [record]


async def test_a_worker_of_that_name_of_another_service_is_not_taken_for_it(bench: Bench, tmp_path: Path) -> None:
    await bench.provider().scale("p1", {"small": 1}, [], {})
    elsewhere = Records(tmp_path / "elsewhere" / local.FOLDER)
    elsewhere.write(Record("local-small-1", "small", "p1"))
    assert elsewhere.alive() == []


async def test_one_of_the_plan_that_ended_is_not_started_again(bench: Bench) -> None:
    await bench.provider().scale("p1", {"small": 1}, [], {})
    os.kill(bench.alive()["local-small-1"], signal.SIGKILL)
    await until(lambda: bench.alive() == {})
    await bench.provider().scale("p1", {"small": 1}, [], {})
    assert bench.alive() == {} and await bench.provider().nodes() == []


async def test_names_are_used_again(bench: Bench) -> None:
    await bench.provider().scale("p1", {"small": 2}, [], {})
    await bench.provider().scale("p2", {}, ["local-small-1", "not-mine"], {})
    await until(lambda: sorted(bench.alive()) == ["local-small-2"])
    await bench.provider().scale("p3", {"small": 1}, [], {})
    assert sorted(bench.alive()) == ["local-small-1", "local-small-2"]


async def test_a_number_that_another_process_has_by_now_is_not_the_worker(bench: Bench) -> None:
    other = psutil.Process(os.getpid())
    bench.records.write(Record("local-small-1", "small", "p1", other.pid, other.create_time() - 5))
    assert await bench.provider().nodes() == []
    await bench.provider().scale("p2", {}, ["local-small-1"], {})
    assert other.is_running()


async def test_a_worker_has_the_settings_of_its_type_and_this_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("NODE_LABELS", "zone=elsewhere")
    await bench.provider().scale("p1", {"small": 1, "gpu": 1}, [], {})
    small, gpu = await bench.environment("local-small-1"), await bench.environment("local-gpu-1")
    settings = load_settings(small)
    assert (settings.node.cpu_cores, settings.node.memory_gb, settings.node.gpu_count) == (2.0, 4.0, 0)
    assert settings.node.labels == {"disk": "ssd", "node_type": "small"} and settings.node.id is None
    assert load_settings(gpu).node.storage_gb is None, "as detected"
    assert settings.node.kill_grace.total_seconds() == 7 and settings.data.directory == bench.folder
    assert small["LANG"] == "C.UTF-8"
    assert not {"PORT", "CAPACITY_PROVIDER", "NODE_TYPES", "CAPACITY_INTERVAL_SECONDS"} & small.keys()


async def test_workers_go_on_without_the_process_and_bound_ones_do_not(bench: Bench) -> None:
    await bench.provider().scale("p1", {"small": 1}, [], {})
    await bench.provider().aclose()
    assert list(bench.alive()) == ["local-small-1"]
    capacity = bench.settings.capacity.model_copy(update={"local_bound": True})
    bench.settings = bench.settings.model_copy(update={"capacity": capacity})
    bound = bench.provider()
    await bound.scale("p2", {"gpu": 1}, [], {})
    assert sorted(bench.alive()) == ["local-gpu-1", "local-small-1"]
    await bound.aclose()
    await until(lambda: bench.alive() == {})


async def test_a_note_that_cannot_be_read_is_left_out(bench: Bench) -> None:
    await bench.provider().scale("p1", {"small": 1}, [], {})
    for name, text in (
        ("a", "{"),
        ("b", "[]"),
        ("c", '{"node_id": 1, "pid": "x"}'),
        ("d", "null"),
        ("e", '{"node_id": "e", "type": "small", "plan_id": "p", "pid": "x"}'),
    ):
        (bench.records.folder / f"{name}.json").write_text(text)
    assert [node.id for node in await bench.provider().nodes()] == ["local-small-1"]
