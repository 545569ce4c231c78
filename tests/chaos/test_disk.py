"""F32: a disk is full, of a worker's data directory, with its negative control. Needs the right to mount."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.bodies import NOOP
from tests.chaos.conftest import Trial
from tests.chaos.disk import can_mount
from tests.chaos.laboratory import Laboratory
from tests.chaos.moments import boot_time
from tests.chaos.setting import BRISK, Setting
from tests.support.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.chaos]
ONE_ATTEMPT = {"max_attempts": 1}
FULL = "No space left on device"
DISK_MIB = 16
MOST_RUNS = 3


@pytest.fixture(autouse=True)
def mountable(tmp_path: Path) -> None:
    if not can_mount(tmp_path / "mount"):
        pytest.skip("a small file system cannot be mounted here")


def says_so(job: dict[str, Any]) -> bool:
    """Whether its failure names the disk."""
    error = job["error"] or {"message": "", "log_tail": ()}
    return FULL in error["message"] or any(FULL in line for line in error["log_tail"] or ())


async def given_up(lab: Laboratory, job_id: str) -> dict[str, Any] | None:
    """The job when it has failed, or was run again and again."""
    job = await lab.client.job(job_id)
    return job if job["status"] == "FAILED" or job["run_no"] > MOST_RUNS else None


async def corrupt_artifacts(lab: Laboratory) -> int:
    """How many of all that are listed are not what their description says."""
    corrupt = 0
    for job_id in lab.client.answered:
        listed = (await lab.client.request("GET", f"/jobs/{job_id}/artifacts")).json()["artifacts"]
        for each in listed:
            answer = await lab.client.request("GET", f"/jobs/{job_id}/artifacts/{each['name']}")
            right = len(answer.content) == each["size"] and hashlib.sha256(answer.content).hexdigest() == each["sha256"]
            corrupt += not right
    return corrupt


async def a_disk_is_full(lab: Laboratory) -> None:
    """F32: by a job that fills it, and by one whose checkpoint is too large to be packed; others begin and end."""
    neighbour = await lab.submit_witnessed(14)
    await lab.began(neighbour)
    filler = await lab.submit_witnessed(5, "fill", retry_policy=ONE_ATTEMPT)
    await until(lambda: any(m.what == "full" for m in lab.marks_of(filler)), 30, every=0.02, message="the disk to fill")
    late = await lab.client.when(await lab.submit_witnessed(0.2, retry_policy=ONE_ATTEMPT), "FAILED")
    light = await lab.client.submit(NOOP)
    await lab.client.when(light, "COMPLETED")
    filled = await lab.client.when(filler, "FAILED")
    hoarder = await lab.submit_witnessed(0.2, "hoard", retry_policy=ONE_ATTEMPT)
    hoarded = await until(lambda: given_up(lab, hoarder), 60, every=0.1)
    assert hoarded is not None
    await lab.client.control(hoarder, "cancel")
    unsaid = [job["job_id"] for job in (late, filled, hoarded) if not says_so(job)]
    lab.figure("failures that do not name the disk", len(unsaid), "jobs", at_most=0)
    free = boot_time()
    after = await lab.submit_witnessed(0.2)
    await lab.client.when(after, "COMPLETED")
    lab.figure("a job again once there is room", boot_time() - free, at_most=10)
    job = await lab.client.when(neighbour, "COMPLETED")
    lab.figure("neighbours disturbed", job["run_no"] - 1, "runs", at_most=0)
    lab.figure("parts that died of it", sum(not part.alive for part in (*lab.apis, *lab.nodes)), "parts", at_most=0)
    lab.figure("corrupt artifacts", await corrupt_artifacts(lab), "files", at_most=0)


async def test_f32_a_disk_is_full(trial: Trial) -> None:
    assert (await trial(Setting(pace=BRISK, disk_mib=DISK_MIB), a_disk_is_full)).violations == []


async def test_f32_without_care_for_what_runs_leave_a_job_never_ends(trial: Trial) -> None:
    setting = Setting(pace=BRISK, disk_mib=DISK_MIB, without=("leavings",))
    assert "figure" in (await trial(setting, a_disk_is_full)).broken
