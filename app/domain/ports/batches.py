"""Batches as a protocol. Their jobs are in the store of jobs, which counts them; here is the record of each batch, and
the one write that makes both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from app.domain.batch_transitions import BatchChange
from app.domain.batches import Batch, BatchPage, BatchQuery, Callback, Counts
from app.domain.job import Control, Job
from app.domain.records import StoredAnswer


class BatchStore(Protocol):
    """Records of batches."""

    async def insert(
        self, batch: Batch, jobs: Sequence[Job], answer: StoredAnswer | None = None
    ) -> StoredAnswer | None:
        """The batch, its jobs, and the answer under its key: all or nothing, for every reader. Returns the earlier
        answer, and inserts nothing, when the key is taken. Raises Invalid for a job that cannot be stored."""

    async def finish_left(self, before: datetime, limit: int) -> int:
        """Finish inserts that were begun earlier and left by a process that died, at most so many. Answers how many."""

    async def answer_under(self, key: str) -> StoredAnswer | None:
        """The answer that a batch was inserted with under this key; None after the time for which it is kept."""

    async def get(self, batch_id: str) -> Batch | None: ...

    async def get_many(self, batch_ids: Iterable[str]) -> dict[str, Batch]:
        """Those that exist, by id."""

    async def commit(self, batch: Batch, change: BatchChange) -> bool:
        """Compare-and-set on its `seq`; True where this very change is in the history now. `batch`: what it was decided
        on; its counts are told with the change."""

    async def carried_out(self, batch_id: str, control: Control) -> None:
        """Nothing of this wish is left to do. Another one that was written meanwhile stays."""

    async def record_counts(self, batch: Batch, counts: Counts, at: datetime) -> None:
        """What was counted, told to those who listen; past `seq`, and only while the batch is at it."""

    async def record_callback(self, batch_id: str, before: Callback, after: Callback) -> bool:
        """How a delivery went; False where the callback is not as `before` any more."""

    async def find(self, query: BatchQuery) -> BatchPage: ...

    async def open(self, limit: int, after: str | None = None) -> list[Batch]:
        """Batches that have not ended, by id, from beyond `after` on."""

    async def wishing(self, before: datetime, limit: int) -> list[Batch]:
        """Batches whose `control` was written earlier, the oldest wish first."""

    async def callbacks_due(self, now: datetime, limit: int) -> list[Batch]:
        """Batches whose end is to be told by now, the longest overdue first."""

    async def counts(self, batch_ids: Iterable[str]) -> dict[str, Counts]:
        """How many jobs of each are in which state now, counted from the jobs."""

    async def next_waiting(self, batch_id: str, most: int) -> list[str]:
        """Ids of its SUBMITTED jobs: of each effective class the first in order, at most `most`."""

    async def kept(self, batch_ids: Iterable[str], since: datetime) -> set[str]:
        """Those of these that have not ended, or not before `since`."""

    async def first_open(self, batch_ids: Iterable[str]) -> dict[str, str]:
        """Of each, the first in order of the jobs that have not ended; one that has none is left out."""
