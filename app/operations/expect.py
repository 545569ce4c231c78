"""What a job should take, from the runs that were like it. The runs are read once in a while, not for each submit."""

from __future__ import annotations

from app.domain.durations import Duration, Kinship, expected
from app.services import Services

MAX_AGE = 10.0


async def expected_duration(services: Services, kin: Kinship, timeout: float) -> Duration:
    """From runs as of at most ten seconds ago. `timeout`: the job's, in seconds."""

    runs = await services.recent.get(
        f"runs:{kin.template}:{kin.algorithm}", lambda: services.runs.alike(kin.template, kin.algorithm), MAX_AGE
    )
    return expected(kin, runs, timeout, services.clock.now())
