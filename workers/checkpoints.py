"""The checkpoint of a run: where the newest whole one lies, and how it is packed while the run goes on writing.

A function says when its checkpoint is whole, and it lies there until another replaces it. A command only writes into
its folder, which counts as whole when it did not change between two looks. What changes while it is packed is not
taken: a run may write at any moment, and half a checkpoint is worse than an older one.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from app.domain.job import Job
from workers.preparation import pack
from workers.record import RunRecord

FOLDER = "checkpoints"
_SNAPSHOT = ".snapshot"
Sight = tuple[tuple[str, int, int, int], ...]
"""What a look at files finds: name, inode, size, time of the last change of each. Two that are equal saw the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint: where it lies, its name in the archive, and whether its run may be writing it at this moment."""

    path: Path
    name: str
    growing: bool


def find(job: Job, record: RunRecord, folder: Path) -> Found | None:
    """The newest checkpoint of a run; None when there is none, or none that lies in the folder of the run."""
    is_command = any(step.step == record.step and step.command for step in job.steps)
    source = record.checkpoint or (folder / FOLDER if is_command else None)
    if source is None:
        return None
    name = source.name
    if not source.exists():
        source = source.with_name(f".{name}.old")
    if not _has_content(source) or folder.resolve() not in source.resolve().parents:
        return None
    return Found(source, name, growing=is_command and name == FOLDER)


def _has_content(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def look(path: Path) -> Sight:
    """What is there now. Raises OSError when it is moved away meanwhile."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((file.name, s.st_ino, s.st_size, s.st_mtime_ns) for file in files if (s := file.lstat()))


def pack_live(found: Found, folder: Path, archive: Path) -> Sight | None:
    """Pack the checkpoint of a run that goes on: what was packed, None when it changed under our hands.

    Links hold on to files that the run replaces meanwhile; files that it writes in place show in the second look.
    """
    snapshot = folder / _SNAPSHOT
    linked = snapshot / found.name
    shutil.rmtree(snapshot, ignore_errors=True)
    try:
        snapshot.mkdir()
        before = look(found.path)
        _link(found.path, linked)
        if look(found.path) != before:
            return None
        packed = look(linked)
        pack(linked, archive)
        return before if look(linked) == packed else None
    except (OSError, shutil.Error):  # moved away, or the disk is full: then it must not stay so for what we wrote
        archive.unlink(missing_ok=True)
        return None
    finally:
        shutil.rmtree(snapshot, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    else:
        os.link(source, target)
