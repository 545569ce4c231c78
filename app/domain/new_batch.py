"""A batch as it is inserted: RUNNING, at the first entry of its history."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.batch_requests import BatchRequest
from app.domain.batch_transitions import first_entry
from app.domain.batches import Batch, BatchKind, BatchStatus, Callback
from app.domain.json import Json
from app.domain.transitions import Stamp


def build_batch(
    request: BatchRequest,
    *,
    batch_id: str,
    name: str,
    size: int,
    template: str | None,
    max_parallel: int | None,
    stamp: Stamp,
    sweep: Mapping[str, Json] | None = None,
) -> Batch:
    """The batch as a submit stores it. `size`: jobs in all; `template`: that of all of them, None where they differ;
    `sweep`: what is searched, where its jobs are trials."""
    return Batch(
        id=batch_id,
        kind=BatchKind.BATCH if sweep is None else BatchKind.SWEEP,
        name=name,
        tenant=request.tenant,
        status=BatchStatus.RUNNING,
        seq=1,
        size=size,
        submitted_at=stamp.at,
        history=(first_entry(stamp),),
        mode=request.mode,
        max_parallel=max_parallel,
        fail_fast=request.fail_fast,
        template=template,
        callback=None if request.callback_url is None else Callback(request.callback_url),
        metadata=request.metadata,
        spec=sweep,
    )
