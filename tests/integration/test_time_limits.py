"""Time and memory limits of real runs, also on code that never looks up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.states import JobStatus
from tests.integration.cluster import EVERY, Cluster, a_command, a_sleep
from tests.unit.domain.builders import a_job

BLOCKING = {
    "a C call": "import ctypes; ctypes.CDLL(None).sleep(60)",
    "a C call that ignores its stop": (
        "import ctypes, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nctypes.PyDLL(None).pause()"
    ),
    "linear algebra": "import numpy as np\na = np.random.rand(4000, 4000)\nwhile True: np.linalg.svd(a)",
}


@pytest.mark.parametrize(
    ("what", "of_step"),
    [*((what, True) for what in BLOCKING), ("a C call that ignores its stop", False)],
)
async def test_a_time_limit_ends_what_blocks(cluster: Cluster, what: str, of_step: bool) -> None:
    job = a_command("python", "-c", BLOCKING[what], timeout=1)
    if of_step:
        job = replace(job, timeout=600.0, steps=tuple(replace(step, timeout=1.0) for step in job.steps))
    after = await cluster.ended(await cluster.begin(job))
    assert after.status is JobStatus.TIMEOUT and after.error is not None, after.error
    assert after.error.message.startswith("step command ran" if of_step else "the job ran")


async def test_a_step_of_ours_that_blocks_in_c_is_ended(cluster: Cluster) -> None:
    """Training in one long call of the library, in the process of the run itself."""
    parameters = {"algorithm": "svm", "dataset_name": "digits", "hyperparameters": {"C": 1e9, "kernel": "poly"}}
    job = a_job("ml_training", parameters=parameters).job
    job = replace(job, steps=tuple(replace(step, timeout=0.05) for step in job.steps))
    after = await cluster.ended(await cluster.begin(job))
    assert after.status is JobStatus.TIMEOUT


async def test_a_timeout_is_tried_again_when_the_policy_says_so(cluster: Cluster) -> None:
    job = replace(a_sleep(60, timeout=0.3), retry_policy=EVERY)
    after = await cluster.ended(await cluster.begin(job))
    assert (after.status, after.history[-1].reason) == (JobStatus.RETRYING, "timeout")
    assert not after.on_node
    await cluster.is_free()


async def test_memory_grows_with_the_next_run(cluster: Cluster) -> None:
    job = a_command("python", "-c", "x = b'1' * (300 << 20); import signal; signal.pause()")
    job = replace(job, resources=replace(job.resources, memory_mib=128))
    after = await cluster.ended(await cluster.begin(job))
    assert after.status is JobStatus.RETRYING and after.resources.memory_mib >= 192
    assert "memory_gb of the next run 0.125 →" in (after.history[-1].detail or "")
