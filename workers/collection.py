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

from app.domain.errors import Invalid, Unavailable
from app.domain.job import Job
from app.domain.records import ArtifactInfo
from app.services import Services
from workers.checkpoints import find, look
from workers.live import Kept
from workers.preparation import CHECKPOINT, COMPLETED_STEPS, RESUME_COMPLETED, pack, work_digest
from workers.record import KeptFile, RunRecord

log = structlog.get_logger()
ARTIFACT = "artifact"
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


async def keep_for_next_run(services: Services, job: Job, record: RunRecord, kept: Kept, folder: Path) -> str | None:
    """Store what a run that did not complete leaves for the next; the name of its checkpoint, None without one."""
    if record.outputs:
        await keep_completed_steps(services, job, record, folder)
    found = await asyncio.to_thread(find, job, record, folder)
    if found is None:
        return checkpoint_name(job) if kept.stored else None
    if kept.stored != await asyncio.to_thread(look, found.path):
        archive = await asyncio.to_thread(pack, found.path, folder / checkpoint_name(job), found.name)
        await keep_checkpoint(services, job, archive)
    return checkpoint_name(job)


async def keep_completed_steps(services: Services, job: Job, record: RunRecord, folder: Path) -> None:
    """Store the outputs of the steps so far, for a job whose next run passes over them."""
    if job.resume != RESUME_COMPLETED:
        return
    path = folder / COMPLETED_STEPS
    said = orjson.dumps({"of": work_digest(job), "outputs": record.outputs})
    await asyncio.to_thread(path.write_bytes, said)
    await _keep(services, job, CHECKPOINT, KeptFile(COMPLETED_STEPS, path))


async def forget_checkpoints(services: Services, job: Job) -> None:
    """A job that is complete never runs again. What cannot be deleted now goes with the job."""
    try:
        await services.artifacts.delete_of([job.id], CHECKPOINT)
    except Unavailable as error:
        log.warning("checkpoint.left", job_id=job.id, store=error.store)


async def keep_checkpoint(services: Services, job: Job, archive: Path) -> None:
    """Store a packed checkpoint in place of an earlier one of this run."""
    await _keep(services, job, CHECKPOINT, KeptFile(checkpoint_name(job), archive))


def checkpoint_name(job: Job) -> str:
    """Under which a run stores its checkpoint: one for each run, the newest."""
    return f"checkpoint-{job.run_no}.tar"


def inside(path: Path, folder: Path) -> bool:
    """Whether it is a plain file beneath the folder, no link to elsewhere on the way."""
    return path.is_file() and not path.is_symlink() and folder.resolve() in path.resolve().parents


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
