"""What a run leaves, brought into the stores when it has ended: its files, and the checkpoint for the next run.

A run is untrusted: only plain files beneath its own folder are kept. A file that cannot be kept is told in the log of
the job and does not change how the run ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import Callable
from pathlib import Path

import orjson
import structlog

from app.domain.errors import Invalid
from app.domain.job import Job
from app.domain.records import ArtifactInfo
from app.services import Services
from workers.preparation import CHECKPOINT, COMPLETED_STEPS, RESUME_COMPLETED, pack
from workers.record import KeptFile, RunRecord

log = structlog.get_logger()
ARTIFACT = "artifact"
CHECKPOINTS_FOLDER = "checkpoints"
_BLOCK = 1 << 20
_TYPES = {".skops": "application/zip", ".parquet": "application/vnd.apache.parquet", ".json": "application/json"}


async def keep_files(services: Services, job: Job, record: RunRecord, folder: Path, say: Callable[[str], None]) -> None:
    """Store the artifacts of the run. `say` writes to the job's log."""
    for file in record.files():
        if not inside(file.path, folder):
            say(f"artifact {file.name} was not kept: it is no plain file in the folder of the run")
            continue
        try:
            await _keep(services, job, ARTIFACT, file)
        except (Invalid, OSError) as error:
            say(f"artifact {file.name} was not kept: {error}")


async def keep_for_next_run(services: Services, job: Job, record: RunRecord, folder: Path) -> str | None:
    """Store the checkpoint of a run that did not complete; its name, or None when there is none."""
    if job.resume == RESUME_COMPLETED and record.outputs:
        path = folder / COMPLETED_STEPS
        await asyncio.to_thread(path.write_bytes, orjson.dumps(record.outputs))
        await _keep(services, job, CHECKPOINT, KeptFile(COMPLETED_STEPS, path))
    source = record.checkpoint or folder / CHECKPOINTS_FOLDER
    if not _can_be_kept(source, folder):
        return None
    name = f"checkpoint-{job.run_no}.tar"
    archive = await asyncio.to_thread(pack, source, folder / name)
    await _keep(services, job, CHECKPOINT, KeptFile(name, archive))
    return name


def inside(path: Path, folder: Path) -> bool:
    """Whether it is a plain file beneath the folder, no link to elsewhere on the way."""
    return path.is_file() and not path.is_symlink() and folder.resolve() in path.resolve().parents


def _can_be_kept(checkpoint: Path, folder: Path) -> bool:
    """Whether there is anything in it, and it lies in the folder of the run."""
    has_content = checkpoint.is_file() or (checkpoint.is_dir() and any(checkpoint.iterdir()))
    return has_content and folder.resolve() in checkpoint.resolve().parents


async def _keep(services: Services, job: Job, kind: str, file: KeptFile) -> None:
    size, digest = await asyncio.to_thread(_measure, file.path)
    info = ArtifactInfo(
        job_id=job.id,
        run_no=job.run_no,
        name=file.name,
        kind=kind,
        size=size,
        sha256=digest,
        content_type=content_type(file.name),
        stored_at=services.clock.now(),
    )
    await services.artifacts.put(info, file.path)
    log.info("artifact.stored", job_id=job.id, run_no=job.run_no, name=file.name, kind=kind, size=size)


def content_type(name: str) -> str:
    """The media type by the name's suffix."""
    known = _TYPES.get(Path(name).suffix)
    return known or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _measure(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
