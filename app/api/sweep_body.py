"""The body of a batch that is a sweep."""

from __future__ import annotations

from typing import Any

from app.api.schemas.batches import SweepBatch
from app.api.validation import validated
from app.domain.batch_requests import BatchRequest
from app.domain.errors import Invalid, TooLarge
from app.domain.sweeps.asked import SweepRequest


def is_sweep(body: Any) -> bool:
    """Whether it asks for a sweep, and not for a list of jobs."""
    return isinstance(body, dict) and "sweep" in body


def sweep_request(body: Any, size: int, cap: int, tenant: str) -> tuple[BatchRequest, SweepRequest]:
    """What is asked of the batch, without jobs, and of its trials. Raises Invalid, and TooLarge: it has the `size` of a
    job at most, in bytes, not that of a batch."""
    if size > cap:
        raise TooLarge(cap)
    if "jobs" in body:
        raise Invalid.one("jobs", "a batch is a list of jobs or a sweep; leave one of them out")
    whole = validated(SweepBatch, body)
    around = BatchRequest(
        jobs=(),
        mode=whole.execution_mode,
        max_parallel=whole.max_parallel,
        fail_fast=whole.fail_fast,
        name=whole.name,
        callback_url=whole.callback_url,
        metadata=whole.metadata,
        tenant=tenant,
    )
    return around, whole.sweep.to_sweep(tenant)
