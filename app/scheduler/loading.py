"""Load jobs so that one document that cannot be read does not hide the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

from app.domain.errors import Unavailable
from app.domain.job import Job
from app.services import Services

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """`jobs`: those that exist, by id; `faults`: what is wrong with those that cannot be read, by id."""

    jobs: dict[str, Job]
    faults: dict[str, str] = field(default_factory=dict)


async def load(services: Services, job_ids: Iterable[str]) -> Loaded:
    """All in one call; one by one only when that fails. Raises Unavailable."""
    wanted = list(job_ids)
    if not wanted:
        return Loaded({})
    try:
        return Loaded(await services.jobs.get_many(wanted))
    except Unavailable:
        raise
    except Exception:
        log.exception("loading.bad_document", jobs=len(wanted))
    loaded = Loaded({})
    for job_id in wanted:
        await _load_one(services, job_id, loaded)
    return loaded


async def _load_one(services: Services, job_id: str, loaded: Loaded) -> None:
    try:
        job = await services.jobs.get(job_id)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001  whatever is wrong with one document
        loaded.faults[job_id] = f"{type(error).__name__}: {error}"
    else:
        if job is not None:
            loaded.jobs[job_id] = job
