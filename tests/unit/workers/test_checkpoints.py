"""Checkpoints of live runs: which is the newest whole one, and that nothing is packed while it changes."""

from __future__ import annotations

import asyncio
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.domain.records import ArtifactInfo
from app.domain.templates import Step
from app.storage.memory.artifacts import MemoryArtifactStore
from tests.support.clock import FixedClock
from tests.support.wait import until
from tests.unit.api.harness import FakeHealth, memory_services
from tests.unit.domain.builders import NOW, a_job
from tests.unit.workers.test_controls import FakeRunner
from workers import checkpoints
from workers.checkpoints import find, look, pack_live
from workers.collection import keep_for_next_run
from workers.home import NodeHome
from workers.keeper import Keeper
from workers.live import LiveRun, LiveRuns
from workers.preparation import CHECKPOINT, COMPLETED_STEPS, gather_inputs
from workers.record import RunRecord

EVERY = 60.0
"""CHECKPOINT_SECONDS when it is not set."""


def a_function_job() -> Job:
    return replace(a_job("sleep").running().job, steps=(Step("train", 60),))


def a_command_job() -> Job:
    return replace(a_job("sleep").running().job, steps=(Step("train", 60, ("python", "train.py")),))


def the_record(job: Job) -> RunRecord:
    record = RunRecord(job.run_no, ["train"])
    record.note({"type": "step_started", "step": "train"}, NOW)
    return record


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_function_says_where_its_checkpoint_is(tmp_path: Path) -> None:
    job = a_function_job()
    record = the_record(job)
    written(tmp_path / "checkpoints" / ".state.new", "half")
    assert find(job, record, tmp_path) is None, "it has said nothing: what lies there may be half a file"
    state = written(tmp_path / "checkpoints" / "state", "17")
    record.note({"type": "checkpoint", "path": str(state)}, NOW)
    found = find(job, record, tmp_path)
    assert found is not None and (found.path, found.name, found.growing) == (state, "state", False)


def test_between_two_renames_the_older_one_counts(tmp_path: Path) -> None:
    """A function that was killed in the middle of replacing its folder."""
    job = a_function_job()
    record = the_record(job)
    record.note({"type": "checkpoint", "path": str(tmp_path / "checkpoints" / "state")}, NOW)
    written(tmp_path / "checkpoints" / ".state.old" / "epoch", "16")
    written(tmp_path / "checkpoints" / ".state.new" / "epoch", "17")
    found = find(job, record, tmp_path)
    assert found is not None and (found.path.name, found.name) == (".state.old", "state")


def test_a_command_writes_into_its_folder_at_any_moment(tmp_path: Path) -> None:
    job = a_command_job()
    assert find(job, the_record(job), tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    assert find(job, the_record(job), tmp_path) is None, "an empty folder is no checkpoint"
    written(tmp_path / "checkpoints" / "epoch", "1")
    found = find(job, the_record(job), tmp_path)
    assert found is not None and (found.name, found.growing) == ("checkpoints", True)


def test_nothing_outside_the_folder_of_the_run_is_taken(tmp_path: Path) -> None:
    job, folder = a_function_job(), tmp_path / "run"
    folder.mkdir()
    record = the_record(job)
    record.note({"type": "checkpoint", "path": str(written(tmp_path / "secret", "s"))}, NOW)
    assert find(job, record, folder) is None


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return sorted(tar.getnames())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_live_checkpoint_is_packed_as_it_was_and_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    state = tmp_path / "checkpoints" / "state"
    written(state if kind == "file" else state / "deep" / "epoch", "17")
    seen = look(state)
    assert pack_live(checkpoints.Found(state, "state", growing=False), tmp_path, tmp_path / "c.tar") == seen
    assert names(tmp_path / "c.tar") == (["state"] if kind == "file" else ["state", "state/deep", "state/deep/epoch"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.tar", "checkpoints"]


@pytest.mark.parametrize("how", ["in place", "gone"])
def test_what_changes_while_it_is_packed_is_not_taken(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = written(tmp_path / "checkpoints" / "state" / "epoch", "17").parent
    real = checkpoints.pack

    def meanwhile(source: Path, archive: Path) -> Path:
        (state / "epoch").write_text("half of 18")
        return real(source, archive)

    def swapped(source: Path, target: Path) -> None:
        state.rename(state.with_name(".state.old"))
        os.link(state.with_name(".state.old") / "epoch", target)

    if how == "in place":
        monkeypatch.setattr(checkpoints, "pack", meanwhile)
    else:
        monkeypatch.setattr(checkpoints, "_link", swapped)
    assert pack_live(checkpoints.Found(state, "state", growing=False), tmp_path, tmp_path / "c.tar") is None


async def test_a_file_that_is_replaced_while_it_is_packed_is_still_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = written(tmp_path / "checkpoints" / "state", "17")
    real = checkpoints.pack

    def replaced(source: Path, archive: Path) -> Path:
        written(tmp_path / "checkpoints" / ".state.new", "18, and longer").replace(state)
        return real(source, archive)

    monkeypatch.setattr(checkpoints, "pack", replaced)
    assert pack_live(checkpoints.Found(state, "state", growing=False), tmp_path, tmp_path / "c.tar") is not None
    with tarfile.open(tmp_path / "c.tar") as tar:
        member = tar.extractfile("state")
        assert member is not None and member.read() == b"17"


class Bench:
    """A live run with a folder, and a keeper."""

    def __init__(self, tmp_path: Path, job: Job) -> None:
        self.services = memory_services(FixedClock(NOW), FakeHealth())
        home, runs = NodeHome(tmp_path, "node-1"), LiveRuns()
        self.run = LiveRun(job, FakeRunner(), self.services.clock)
        self.run.heard({"type": "step_started", "step": "train"})
        runs.add(self.run)
        self.folder = home.run_folder(self.run.key)
        self.folder.mkdir(parents=True)
        self.lease_frozen = False
        self.keeper = Keeper(self.services, home, runs, lambda: self.lease_frozen)

    async def look(self, now: float) -> bytes | None:
        """What is in the store after a look."""
        self.keeper.look(now)
        await until(lambda: not self.run.kept.busy)
        return await self.stored()

    async def stored(self) -> bytes | None:
        [*infos] = await self.services.artifacts.list(self.run.job.id, CHECKPOINT)
        tars = [info for info in infos if info.name != COMPLETED_STEPS]
        return b"".join([block async for block in self.services.artifacts.read(tars[0])]) if tars else None

    def state(self, text: str) -> None:
        path = written(self.folder / "checkpoints" / ".state.new", text).replace(self.folder / "checkpoints" / "state")
        self.run.heard({"type": "checkpoint", "path": str(path)})


async def test_a_functions_checkpoint_is_stored_while_it_runs_at_most_once_in_a_while(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_function_job())
    assert await bench.look(0.0) is None
    bench.state("epoch 1")
    first = await bench.look(2.0)
    assert first is not None and b"epoch 1" in first
    bench.state("epoch 2")
    assert await bench.look(2.0 + EVERY - 1) == first, "not so soon again"
    second = await bench.look(2.0 + EVERY)
    assert second is not None and b"epoch 2" in second


async def test_a_commands_folder_is_stored_when_it_has_come_to_rest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_command_job())
    written(bench.folder / "checkpoints" / "epoch", "half")
    assert await bench.look(0.0) is None
    written(bench.folder / "checkpoints" / "epoch", "a whole one")
    assert await bench.look(2.0) is None
    kept = await bench.look(4.0)
    assert kept is not None and b"a whole one" in kept


@pytest.mark.parametrize("by", ["user", "lease"])
async def test_what_stands_still_since_its_run_is_frozen_has_not_come_to_rest(tmp_path: Path, by: str) -> None:
    bench = Bench(tmp_path, a_command_job())
    written(bench.folder / "checkpoints" / "epoch", "half")
    assert await bench.look(0.0) is None
    bench.lease_frozen, bench.run.frozen_since = by == "lease", 1.0 if by == "user" else None
    for now in (2.0, 4.0, 6.0):
        assert await bench.look(now) is None
    bench.lease_frozen, bench.run.frozen_since = False, None
    assert await bench.look(8.0) is None, "it goes on only now"
    written(bench.folder / "checkpoints" / "epoch", "a whole one")
    assert [await bench.look(10.0), await bench.look(12.0) is not None] == [None, True]


async def test_a_store_that_is_away_is_tried_again_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, a_function_job())
    bench.state("epoch 1")
    with monkeypatch.context() as patched:
        patched.setattr(type(bench.services.artifacts), "put", _away)
        assert await bench.look(0.0) is None
    assert await bench.look(EVERY - 1) is None, "a large one is not packed with each look"
    assert await bench.look(EVERY) is not None


async def _away(*_: object) -> None:
    raise Unavailable("MongoDB")


async def test_one_run_after_the_other_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, a_function_job())
    other = LiveRun(a_function_job(), FakeRunner(), bench.services.clock)
    bench.keeper._runs.add(other)
    for run in (bench.run, other):
        state = written(bench.keeper._home.run_folder(run.key) / "checkpoints" / "state", "17")
        run.heard({"type": "step_started", "step": "train"})
        run.heard({"type": "checkpoint", "path": str(state)})
    storing, let_go, real = asyncio.Event(), asyncio.Event(), MemoryArtifactStore.put
    most: list[int] = []

    async def slow(store: MemoryArtifactStore, info: ArtifactInfo, source: Path) -> None:
        most.append(1)
        storing.set()
        await let_go.wait()
        await real(store, info, source)

    monkeypatch.setattr(MemoryArtifactStore, "put", slow)
    bench.keeper.look(0.0)
    await asyncio.wait_for(storing.wait(), 30)
    assert len(most) == 1
    waiting = next(run for run in (bench.run, other) if run.kept.stored_at < 0)
    await asyncio.wait_for(waiting.kept.stop(), 30)
    let_go.set()
    await until(lambda: not bench.run.kept.busy and not other.kept.busy)
    assert len(most) == 1, "a run that ends does not wait for its turn"


async def test_what_is_stored_already_is_not_stored_again_at_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_function_job())
    bench.state("epoch 1")
    await bench.look(0.0)
    [before] = await bench.services.artifacts.list(bench.run.job.id, CHECKPOINT)
    services, run = bench.services, bench.run
    assert await keep_for_next_run(services, run.job, run.record, run.kept, bench.folder) == "checkpoint-1.tar"
    assert not (bench.folder / "checkpoint-1.tar").exists()
    assert await services.artifacts.list(run.job.id, CHECKPOINT) == [before]
    bench.state("epoch 2")
    await keep_for_next_run(services, run.job, run.record, run.kept, bench.folder)
    stored = await bench.stored()
    assert stored is not None and b"epoch 2" in stored


async def test_completed_steps_are_stored_while_the_run_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, replace(a_function_job(), resume="completed_steps"))
    model = written(bench.folder / "artifacts" / "model", "m")
    bench.run.heard({"type": "artifact", "name": "model", "path": str(model)})
    bench.run.heard({"type": "step_finished", "step": "train", "outputs": {"a": 1}})
    await bench.look(0.0)
    [info] = await bench.services.artifacts.list(bench.run.job.id, CHECKPOINT)
    assert info.name == COMPLETED_STEPS
    assert await bench.services.artifacts.get(bench.run.job.id, "model"), "what is not run again must not be lost"


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({}, True),
        ({"timeout": 7.0}, True),
        ({"parameters": {"rate": 2}}, False),
        ({"parameters": {"rate": 1, "token": "new"}, "secrets": ("token",)}, True),
        ({"steps": (Step("train", 60, ("python", "other.py")),)}, False),
    ],
)
async def test_steps_that_ran_with_other_parameters_are_run_again(
    tmp_path: Path, changed: dict[str, Any], kept: bool
) -> None:
    """A manual retry may change them."""
    bench = Bench(tmp_path, replace(a_command_job(), resume="completed_steps", parameters={"rate": 1}))
    bench.run.heard({"type": "step_finished", "step": "train", "outputs": {"a": 1}})
    await bench.look(0.0)
    later = replace(bench.run.job, run_no=2, **changed)
    found = await gather_inputs(bench.services, later, tmp_path / "next")
    assert found.completed_steps == ({"train": {"a": 1}} if kept else {})


async def test_the_end_of_a_run_gives_up_what_is_being_stored(tmp_path: Path) -> None:
    bench = Bench(tmp_path, a_function_job())
    bench.state("epoch 1")
    bench.keeper.look(0.0)
    assert bench.run.kept.busy
    await bench.run.kept.stop()
    assert not bench.run.kept.busy and not (bench.folder / ".snapshot").exists()
