"""Artifacts: whole or not at all, hidden by those of a later run, under any name."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from gridfs.errors import CorruptGridFile

from app.clock import SystemClock
from app.domain.errors import Invalid, NotFound, Unavailable
from app.domain.ports import ArtifactStore
from app.domain.records import ArtifactInfo
from app.storage.artifact_directory import DirectoryArtifactStore
from app.storage.artifacts import GridFsArtifactStore
from app.storage.memory.artifacts import MemoryArtifactStore
from app.storage.mongo import Database, connect
from tests.contract.conftest import DRIVERS
from tests.support.clock import NOON

NAMES = ("model.skops", "../../etc/passwd", "report ü/1.html", "$where", "a" * 300, ".json")


@pytest.fixture(params=(*DRIVERS, "directory", "memory"))
async def artifacts(
    request: pytest.FixtureRequest, mongo_uri: str, database: str, tmp_path: Path
) -> AsyncIterator[ArtifactStore]:
    if request.param in DRIVERS:
        handle = connect(mongo_uri, database, driver=request.param)
        yield GridFsArtifactStore(handle)
        await handle.close()
    else:
        yield MemoryArtifactStore() if request.param == "memory" else DirectoryArtifactStore(tmp_path / "shared")


def stored(content: bytes, name: str = "model.skops", *, run_no: int = 1, kind: str = "artifact") -> ArtifactInfo:
    digest = hashlib.sha256(content).hexdigest()
    return ArtifactInfo("job_a", run_no, name, kind, len(content), digest, "application/octet-stream", NOON)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


async def put(store: ArtifactStore, source: Path, content: bytes, info: ArtifactInfo) -> ArtifactInfo:
    await asyncio.to_thread(source.write_bytes, content)
    await store.put(info, source)
    return info


async def content_of(store: ArtifactStore, info: ArtifactInfo) -> bytes:
    return b"".join([block async for block in store.read(info)])


@pytest.mark.parametrize("size", [0, 1, 255 * 1024, 3_000_001])
async def test_bytes_come_back_equal(artifacts: ArtifactStore, source: Path, size: int) -> None:
    content = os.urandom(size)
    info = await put(artifacts, source, content, stored(content))
    assert await artifacts.get("job_a", info.name) == info
    assert await content_of(artifacts, info) == content


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (255 * 1024 - 1, 255 * 1024 + 1), (1_048_577, 3_000_001), (700_000, None)]
)
async def test_a_part_is_read_alone(artifacts: ArtifactStore, source: Path, start: int, stop: int | None) -> None:
    content = os.urandom(3_000_001)
    info = await put(artifacts, source, content, stored(content))
    assert b"".join([block async for block in artifacts.read(info, start, stop)]) == content[start:stop]


async def test_names_are_opaque(artifacts: ArtifactStore, source: Path, tmp_path: Path) -> None:
    for n, name in enumerate(NAMES):
        content = f"content {n}".encode()
        await put(artifacts, source, content, stored(content, name))
    assert [i.name for i in await artifacts.list("job_a")] == sorted(NAMES)
    for n, name in enumerate(NAMES):
        info = await artifacts.get("job_a", name)
        assert info is not None
        assert await content_of(artifacts, info) == f"content {n}".encode()
    shared = tmp_path / "shared"
    assert all(path == source or shared in path.parents for path in files_below(tmp_path))


async def test_a_file_of_a_later_run_hides_the_earlier_one(artifacts: ArtifactStore, source: Path) -> None:
    tenth = await put(artifacts, source, b"ten", stored(b"ten", run_no=10))
    ninth = await put(artifacts, source, b"nine", stored(b"nine", run_no=9))
    other = await put(artifacts, source, b"other", stored(b"other", "report.html", run_no=9))
    assert await artifacts.list("job_a") == [tenth, other]
    assert await artifacts.get("job_a", tenth.name) == tenth
    assert await content_of(artifacts, tenth) == b"ten"
    assert await content_of(artifacts, ninth) == b"nine"


async def test_kinds_and_jobs_are_kept_apart(artifacts: ArtifactStore, source: Path) -> None:
    checkpoint = await put(artifacts, source, b"c", stored(b"c", kind="checkpoint"))
    assert await artifacts.list("job_a") == []
    assert await artifacts.list("job_a", "checkpoint") == [checkpoint]
    assert await artifacts.list("job_b", "checkpoint") == []
    assert await artifacts.list("../job_a", "checkpoint") == []


async def test_the_same_file_put_again_is_one_file(artifacts: ArtifactStore, source: Path) -> None:
    await put(artifacts, source, b"first", stored(b"first"))
    again = await put(artifacts, source, b"second", stored(b"second"))
    assert await artifacts.list("job_a") == [again]
    assert await content_of(artifacts, again) == b"second"


@pytest.mark.parametrize(
    "described", [replace(stored(b"content"), sha256="0" * 64), replace(stored(b"content"), size=6)]
)
async def test_a_file_that_is_not_what_was_described_leaves_nothing(
    artifacts: ArtifactStore, source: Path, tmp_path: Path, described: ArtifactInfo
) -> None:
    with pytest.raises(Invalid, match=r"artifacts\.model\.skops"):
        await put(artifacts, source, b"content", described)
    assert await artifacts.list("job_a") == []
    assert files_below(tmp_path) == [source]


async def test_a_file_that_is_gone_is_said_to_be(artifacts: ArtifactStore) -> None:
    with pytest.raises(NotFound, match=r"model\.skops"):
        await content_of(artifacts, stored(b"never stored"))


async def test_of_a_replaced_file_the_whole_is_the_newer_and_a_part_is_none(
    artifacts: ArtifactStore, source: Path
) -> None:
    """Whoever glues parts together, or has told a length, must not get bytes of another."""
    first = await put(artifacts, source, b"first", stored(b"first"))
    await put(artifacts, source, b"the second", stored(b"the second"))
    assert await content_of(artifacts, first) == b"the second"
    with pytest.raises(NotFound):
        await anext(artifacts.read(first, 1, 5))


async def test_a_refused_or_replaced_file_leaves_no_chunks(mongo: Database, source: Path) -> None:
    store = GridFsArtifactStore(mongo)
    with pytest.raises(Invalid):
        await put(store, source, b"x" * 600_000, replace(stored(b"content"), sha256="0" * 64))
    assert await mongo["artifacts.chunks"].count_documents({}) == 0
    await put(store, source, b"x" * 600_000, stored(b"x" * 600_000))
    await put(store, source, b"small", stored(b"small"))
    assert await mongo["artifacts.chunks"].count_documents({}) == 1


@pytest.mark.parametrize("when", ["before it is opened", "before it is read"])
async def test_a_file_that_is_replaced_while_it_is_asked_for_is_read_as_it_is_now(
    mongo: Database, source: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A live run stores its checkpoint again and again."""
    store = GridFsArtifactStore(mongo)
    first = await put(store, source, b"first", stored(b"first"))
    open_it = store._bucket.open_download_stream

    async def late(file_id: object) -> Any:
        monkeypatch.undo()
        opened = await open_it(file_id) if when == "before it is read" else None
        await put(store, source, b"second", stored(b"second"))
        return opened or await open_it(file_id)

    monkeypatch.setattr(store._bucket, "open_download_stream", late)
    assert await content_of(store, first) == b"second"


async def test_a_file_whose_bytes_are_lost_is_broken(mongo: Database, source: Path) -> None:
    store = GridFsArtifactStore(mongo)
    info = await put(store, source, b"first", stored(b"first"))
    await mongo["artifacts.chunks"].delete_many({})
    with pytest.raises(CorruptGridFile):
        await content_of(store, info)


async def test_a_shared_folder_that_fails_is_a_store_that_is_away(tmp_path: Path, source: Path) -> None:
    """So a run waits for it with what it made, instead of ending without."""
    root = tmp_path / "no-folder"
    await asyncio.to_thread(root.write_text, "a file")
    store = DirectoryArtifactStore(root)
    with pytest.raises(Unavailable, match="ARTIFACT_DIR"):
        await put(store, source, b"x", stored(b"x"))
    with pytest.raises(FileNotFoundError):
        await DirectoryArtifactStore(tmp_path / "shared").put(stored(b"x"), tmp_path / "gone")


def of(job_id: str, content: bytes = b"x", name: str = "a", kind: str = "artifact") -> ArtifactInfo:
    return replace(stored(content, name, kind=kind), job_id=job_id)


async def test_everything_of_a_job_is_deleted_whatever_its_kind(artifacts: ArtifactStore, source: Path) -> None:
    for info in (of("job_a"), of("job_a", kind="checkpoint"), of("job_b")):
        await put(artifacts, source, b"x", info)
    await artifacts.delete_of(["job_a", "job_none", "../x"])
    assert await artifacts.list("job_a") == await artifacts.list("job_a", "checkpoint") == []
    assert await content_of(artifacts, of("job_b")) == b"x"
    assert await artifacts.owners("", 10) == ["job_b"]


async def test_one_kind_of_a_job_can_be_deleted_alone(artifacts: ArtifactStore, source: Path) -> None:
    for info in (of("job_a"), of("job_a", kind="checkpoint"), of("job_b", kind="checkpoint")):
        await put(artifacts, source, b"x", info)
    await artifacts.delete_of(["job_a"], "checkpoint")
    await artifacts.delete_of(["job_none"], "checkpoint")
    assert await artifacts.list("job_a", "checkpoint") == []
    assert await content_of(artifacts, of("job_a")) == b"x"
    assert await content_of(artifacts, of("job_b", kind="checkpoint")) == b"x"


async def test_what_is_replaced_leaves_no_bytes_in_the_shared_folder(tmp_path: Path, source: Path) -> None:
    """A live run stores its checkpoint again and again; bytes that another name has, too, stay."""
    store = DirectoryArtifactStore(tmp_path / "shared")
    for content in (b"first", b"second", b"second", b"third"):
        await put(store, source, content, stored(content))
        assert len(files_below(tmp_path / "shared")) == 2
    twin = await put(store, source, b"third", stored(b"third", "twin"))
    await put(store, source, b"fourth", stored(b"fourth"))
    assert await content_of(store, twin) == b"third"


async def test_owners_are_told_in_pages(artifacts: ArtifactStore, source: Path) -> None:
    for job_id in ("job_c", "job_a", "job_b"):
        await put(artifacts, source, b"x", of(job_id))
    assert await artifacts.owners("", 2) == ["job_a", "job_b"]
    assert await artifacts.owners("job_b", 2) == ["job_c"]
    assert await artifacts.owners("job_c", 2) == []


async def leave_unfinished(artifacts: ArtifactStore) -> None:
    """Two files that a process was writing when it died."""
    for n in range(2):
        if isinstance(artifacts, GridFsArtifactStore):
            await artifacts._chunks.insert_one({"files_id": ObjectId(), "n": 0, "data": b"half"})
        elif isinstance(artifacts, DirectoryArtifactStore):
            part = artifacts._root / "job_a" / "artifact" / f".{n}.part"
            await asyncio.to_thread(part.write_bytes, b"half")


async def test_what_a_put_that_was_cut_off_left_is_deleted_after_its_time(
    artifacts: ArtifactStore, source: Path
) -> None:
    content = os.urandom(600_000)
    kept = await put(artifacts, source, content, stored(content))
    await leave_unfinished(artifacts)
    later = SystemClock().now() + timedelta(minutes=1)
    assert await artifacts.delete_unfinished(later - timedelta(days=1), 10) == 0, "it may be under way"
    found = [await artifacts.delete_unfinished(later, 2) for _ in range(4)]
    assert sum(found) == (0 if isinstance(artifacts, MemoryArtifactStore) else 2)
    assert await content_of(artifacts, kept) == content
