"""Secrets in a run: it is given them, and what is kept of it holds none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.job import Job
from app.domain.secrets import Sealed
from app.domain.states import JobStatus
from tests.integration.cluster import Cluster, a_command


def sealed_job(*argv: str, sealed: bool = True) -> Job:
    """A command with a secret, stored apart from it."""
    job = a_command(*argv)
    value = "***" if sealed else "Geheim-1"
    own = {"parameters": {**job.parameters, "token": value}, "secrets": ("token",)}
    return replace(job, **own, sealed=job.id if sealed else None)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "of an earlier release"])
async def test_a_secret_that_a_run_prints_is_cut_out_of_what_is_kept(cluster: Cluster, sealed: bool) -> None:
    script = (
        'cat $TF_PARAMETERS; echo; echo the token is Geheim-1 >&2; echo \'{"seen": ["Geheim-1"]}\' > "$TF_OUTPUTS";'
        'echo \'{"progress": 0.5, "text": "with Geheim-1"}\' >> "$TF_EVENTS"; exit 9'
    )
    job = sealed_job("sh", "-c", script, sealed=sealed)
    if sealed:
        await cluster.services.secrets.put(Sealed(job.id, job.id, {"token": "Geheim-1"}, job.submitted_at))
    [job] = await cluster.run(job)
    assert job.secrets == ("token",)
    log = await cluster.log(job.id)
    assert log[-1] == "the token is ***"
    assert '"token":"***"' in log[0]
    assert job.error is not None and job.error.log_tail[-1] == "the token is ***"
    assert job.progress is not None and job.progress.text == "with ***"
    assert "Geheim" not in job.error.message and "Geheim" not in str(job.history)


async def test_a_secret_in_outputs_is_cut_out_of_the_result(cluster: Cluster) -> None:
    job = sealed_job("sh", "-c", 'echo \'{"seen": ["Geheim-1", 1]}\' > "$TF_OUTPUTS"')
    await cluster.services.secrets.put(Sealed(job.id, job.id, {"token": "Geheim-1"}, job.submitted_at))
    [job] = await cluster.run(job)
    assert job.status is JobStatus.COMPLETED, job.error
    assert job.result is not None and job.result["steps"] == {"command": {"seen": ["***", 1]}}


async def test_a_job_whose_secret_is_gone_fails_and_says_so(cluster: Cluster) -> None:
    [job] = await cluster.run(sealed_job("true"))
    assert job.status is JobStatus.FAILED and job.error is not None
    assert job.error.code == "permanent"
    assert job.error.message.startswith("parameters.token: the secret is not stored any more; retry the job")
