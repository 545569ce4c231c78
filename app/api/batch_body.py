"""The body of a batch, judged a few jobs at a time: thousands of jobs must not keep others waiting, and thousands of
faults are not looked up one by one."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.api.schemas.batches import BatchCreate, BatchHead
from app.api.schemas.job_requests import JobCreate
from app.api.validation import faults_of, validated
from app.domain.batch_requests import BatchRequest, size_errors
from app.domain.errors import MOST_ERRORS, FieldError, Invalid
from app.domain.specification import JobRequest
from app.operations.plan_many import in_parts, placed

PART = 100
_JOB = TypeAdapter(JobCreate)


async def batch_request(body: Any, tenant: str) -> BatchRequest:
    """The domain's request. Raises Invalid with up to a hundred faults and their places."""
    if not isinstance(body, dict):
        raise Invalid.one("", "a JSON body is required" if body is None else "must be an object with `jobs`")
    rest = {name: value for name, value in body.items() if name != "jobs"}
    head = validated(BatchHead, rest, BatchCreate)
    return BatchRequest(
        jobs=await _jobs(body.get("jobs"), tenant),
        mode=head.execution_mode,
        max_parallel=head.max_parallel,
        fail_fast=head.fail_fast,
        name=head.name,
        callback_url=head.callback_url,
        metadata=head.metadata,
        tenant=tenant,
    )


async def _jobs(given: Any, tenant: str) -> list[JobRequest]:
    if not isinstance(given, list):
        raise Invalid.one("jobs", "is required, or a sweep" if given is None else "must be a list of jobs")
    if wrong := list(size_errors(len(given))):
        raise Invalid(wrong)
    jobs: list[JobRequest] = []
    faults: list[FieldError] = []

    async def judge(part: Any) -> None:
        for n, value in part:
            if len(faults) < MOST_ERRORS:
                try:
                    jobs.append(_JOB.validate_python(value).to_request(tenant))
                except ValidationError as error:
                    faults.extend(placed(faults_of(error, value, JobCreate), f"jobs[{n}]"))

    await in_parts(list(enumerate(given)), PART, judge)
    if faults:
        raise Invalid(faults)
    return jobs
