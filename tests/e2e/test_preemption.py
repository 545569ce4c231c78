"""An urgent job that would wait long has a preemptible run make way, which goes on from its checkpoint afterwards.

Slow, since a run younger than a minute is let be.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from app.dev.embedded import Endpoints
from tests.e2e.conftest import settings_of
from tests.support.processes import Api, api, worker
from tests.support.wait import until

WHOLE = {"cpu_cores": 2, "memory_gb": 1, "storage_gb": 0}
YIELDING = (
    "import os, signal, sys\n"
    "state = os.path.join(os.environ['TF_CHECKPOINTS'], 'state')\n"
    "if os.path.exists(state): print('goes on', open(state).read()); sys.exit(0)\n"
    "def leave(*_):\n"
    "    open(state, 'w').write('after run ' + os.environ['TF_RUN_NO'])\n"
    "    sys.exit(75)\n"
    "signal.signal(signal.SIGTERM, leave)\n"
    "while True: signal.pause()\n"
)
"""A run that writes a checkpoint when it is asked to leave, and is done when it finds one."""


def a_job(code: str, **fields: Any) -> dict[str, Any]:
    return {
        "template": "command",
        "parameters": {"command": ["python", "-c", code]},
        "resources": WHOLE,
        "timeout": 3_000,
        **fields,
    }


async def running(served: Api, job_id: str) -> bool:
    return (await served.job(job_id))["status"] == "RUNNING"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_preemptible_run_makes_way_for_an_urgent_job_and_goes_on_from_its_checkpoint(
    servers: Endpoints, tmp_path: Path
) -> None:
    env = settings_of(servers.mongodb_uri or "", servers.redis_url or "", f"preemption_{os.getpid()}", tmp_path)
    env |= {"NODE_CPU_CORES": "2", "NODE_GPU_COUNT": "0", "PREEMPTION": "on", "PREEMPT_GRACE_SECONDS": "10"}
    async with api(tmp_path, env) as served, worker(tmp_path, env, served):
        low = (await served.submit(a_job(YIELDING, priority="low", preemptible=True)))["job_id"]
        await until(lambda: running(served, low), 30, every=0.1)
        urgent = (await served.submit(a_job("print('first')", priority="urgent")))["job_id"]
        first, second = await served.ended(urgent, 150), await served.ended(low, 60)

    assert first["status"] == second["status"] == "COMPLETED"
    reasons = [entry["reason"] for entry in second["history"]]
    assert reasons.count("preempted") == 1
    assert "control_requested" in reasons
    assert second["attempt"] == 1
    assert second["run_no"] == 2
    assert second["started_at"] is not None
    assert first["finished_at"] < second["finished_at"]
