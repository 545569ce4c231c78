"""From a claimed job to an order for its runner: the specification, and the files that it names brought to this node.

What can be known to be wrong here (no such model, no such checkpoint) is a permanent failure in the words of the user.
A job that names no model and had no earlier run costs no question to any store.
"""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import orjson

from app.domain.datasets import BUILT_IN
from app.domain.ids import is_object_id
from app.domain.job import Job
from app.domain.json import Json
from app.domain.nearest import nearest_name
from app.domain.records import ArtifactInfo
from app.domain.step_catalog import BUILT_IN_STEPS
from app.domain.templates import Step
from app.operations.sealing import unseal
from app.services import Services
from workers.run import RunKey, RunOrder

DEFAULT_MODEL = "model.skops"
CHECKPOINT = "checkpoint"
"""Artifact kind of what one run leaves for the next."""
COMPLETED_STEPS = "completed_steps.json"
RESUME_COMPLETED = "completed_steps"


class CannotPrepare(Exception):
    """The run can never start like this. The message is the job's failure."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run is given beside its job: paths on this node."""

    datasets: Mapping[str, Json] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    completed_steps: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


def order_for(job: Job, folder: Path, data_root: Path, cpus: Sequence[int], inputs: Inputs) -> RunOrder:
    """The order: everything that the run's process is told, and the limits that its runner keeps."""
    specification: dict[str, Json] = {
        "job_id": job.id,
        "run_no": job.run_no,
        "attempt": job.attempt,
        "name": job.name,
        "parameters": dict(job.parameters),
        "inputs": {},
        "steps": [_step(step) for step in job.steps],
        "completed_steps": dict(inputs.completed_steps),
        "work_dir": str(folder),
        "checkpoint": inputs.checkpoint,
        "threads": len(cpus),
        "cpus": list(cpus),
        "gpu_indices": list(job.gpu_indices),
        "data_root": str(data_root),
        "datasets": dict(inputs.datasets),
        "models": dict(inputs.models),
    }
    return RunOrder(RunKey(job.id, job.run_no), specification, job.timeout, job.resources.memory_mib)


def _step(step: Step) -> dict[str, Json]:
    command = list(step.command) if step.command else None
    kind = "command" if command else "builtin" if step.step in BUILT_IN_STEPS else "function"
    return {"step": step.step, "kind": kind, "command": command, "env": dict(step.env), "timeout": step.timeout}


async def revealed(services: Services, job: Job) -> Job:
    """The job with its secrets in clear, for its run alone. Raises CannotPrepare when they are not there any more."""
    if not job.secrets:
        return job
    secrets = await unseal(services, job)
    if missing := [name for name in job.secrets if job.parameters.get(name) is not None and name not in secrets]:
        raise CannotPrepare(f"parameters.{missing[0]}: the secret is not stored any more; retry the job with a new one")
    return replace(job, parameters={**job.parameters, **secrets})


async def gather_inputs(services: Services, job: Job, folder: Path) -> Inputs:
    """Fetch what the job names. Raises CannotPrepare, or Unavailable when a store is away."""
    kept = await _left_by_earlier_runs(services, job) if job.run_no > 1 else {}
    return Inputs(
        datasets=await _datasets(services, job, folder),
        models=await _models(services, job, folder),
        checkpoint=await _checkpoint(services, kept, folder),
        completed_steps=await _completed_steps(services, job, kept, folder),
    )


async def _datasets(services: Services, job: Job, folder: Path) -> dict[str, Json]:
    """Where a data set is that is no file of the node: registered, or an artifact of a job, brought here."""
    name = job.parameters.get("dataset_name") or job.parameters.get("dataset")
    if not isinstance(name, str) or name in BUILT_IN:
        return {}
    source, _, artifact = name.partition("/")
    if artifact and source.startswith("job_") and is_object_id(source):
        info = await services.artifacts.get(source, artifact)
        if info is not None:
            return {name: {"path": str(await fetch(services, info, folder / "inputs" / source)), "target_column": None}}
    registered = await services.datasets.get(name)
    if registered is None:
        return {}
    return {name: {"path": registered.path, "target_column": registered.target_column}}


async def _models(services: Services, job: Job, folder: Path) -> dict[str, str]:
    reference = job.parameters.get("model")
    if not isinstance(reference, str) or not reference:
        return {}
    source, _, artifact = reference.partition("/")
    info = await services.artifacts.get(source, artifact or DEFAULT_MODEL)
    if info is None:
        raise CannotPrepare(await _no_model(services, source, artifact or DEFAULT_MODEL))
    return {reference: str(await fetch(services, info, folder / "inputs" / source))}


async def _no_model(services: Services, source: str, artifact: str) -> str:
    names = [each.name for each in await services.artifacts.list(source)]
    if not names:
        return f"parameters.model: job {source} has no artifacts; name a job that has trained a model"
    near = nearest_name(artifact, names)
    hint = f"; did you mean {source}/{near}?" if near else ""
    return f"parameters.model: job {source} has no artifact {artifact}{hint} Its artifacts: {', '.join(sorted(names))}"


async def _left_by_earlier_runs(services: Services, job: Job) -> dict[bool, ArtifactInfo]:
    """The newest checkpoint (False) and the newest list of completed steps (True)."""
    found = await services.artifacts.list(job.id, CHECKPOINT)
    return {each.name == COMPLETED_STEPS: each for each in sorted(found, key=lambda each: each.run_no)}


async def _checkpoint(services: Services, kept: Mapping[bool, ArtifactInfo], folder: Path) -> str | None:
    info = kept.get(False)
    if info is None:
        return None
    archive = await fetch(services, info, folder / "inputs")
    return str(await asyncio.to_thread(unpack, archive))


async def _completed_steps(
    services: Services, job: Job, kept: Mapping[bool, ArtifactInfo], folder: Path
) -> dict[str, Mapping[str, Json]]:
    info = kept.get(True)
    if info is None or job.resume != RESUME_COMPLETED:
        return {}
    path = await fetch(services, info, folder / "inputs")
    left = orjson.loads(await asyncio.to_thread(path.read_bytes))
    outputs: dict[str, Mapping[str, Json]] = left["outputs"] if left.get("of") == work_digest(job) else {}
    return outputs


def work_digest(job: Job) -> str:
    """What the outputs of steps depend on: parameters and steps, which a manual retry may change. Secrets are left out:
    they open doors, and a digest of one could be guessed."""
    open_parameters = {name: value for name, value in job.parameters.items() if name not in job.secrets}
    steps = [[step.step, step.command, dict(step.env)] for step in job.steps]
    said = orjson.dumps([open_parameters, steps], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(said).hexdigest()


async def fetch(services: Services, info: ArtifactInfo, folder: Path) -> Path:
    """Bring a stored file to `folder`, whole, and tell its path."""
    path = folder / info.name
    target = await asyncio.to_thread(_new_file, path)
    with target:
        async for block in services.artifacts.read(info):
            await asyncio.to_thread(target.write, block)
    return path


def _new_file(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def pack(source: Path, archive: Path, name: str | None = None) -> Path:
    """A checkpoint (file or folder) as one file, inside under that name, else under its own.

    What `unpack` would refuse, such as a link that leads out, is left out: else no later run could begin.
    """
    with tarfile.open(archive, "w") as tar:
        tar.add(source, arcname=name or source.name, filter=_portable)
    return archive


def _portable(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    try:
        tarfile.data_filter(member, "checkpoint")
    except tarfile.FilterError:
        return None
    return member


def unpack(archive: Path) -> Path:
    """The packed file or folder, laid out beside the archive; `tarfile` refuses links and paths that lead out."""
    target = archive.parent / "checkpoint"
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    [inner] = target.iterdir()
    return inner
