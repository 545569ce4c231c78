"""What may be lost, as protocols: the queue index, the doorbell to nodes, bells. Nothing is decided from it alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.domain.calibration import Announcement
from app.domain.priority import Priority
from app.domain.queueing import Ticket
from app.domain.records import Board, BucketHead, Member, Neighbours, OrderPoint, Place, Waiting


class QueueIndex(Protocol):
    """The priority queues: a rebuildable index. Nothing is decided from it alone.

    Jobs stand in the order (class, band, key, id): the effective class; the band that a reorder put the job in, else
    its tenant's. Each is in one bucket, as exact as there is room for (`app.domain.resolution`).
    """

    async def enqueue(self, tickets: Sequence[Ticket]) -> list[Place]:
        """Add (or move) each and tell where it stands; wakes the scheduler."""

    async def dequeue(self, job_ids: Iterable[str]) -> int:
        """Remove; absent ones are skipped. Answers how many were there."""

    async def publish_bands(self, bands: Mapping[str, int]) -> None:
        """The bands of tenants, in place of all earlier ones; a tenant that is not named has band 0."""

    async def heads(self) -> list[BucketHead]:
        """Every non-empty bucket with its first member."""

    async def members(self, wanted: Mapping[str, int]) -> dict[str, tuple[Member, ...]]:
        """The first n members of each bucket, in order. Of a mixed bucket its first, and n - 1 more from where the last
        such call ended, around its end if need be; in order too."""

    async def lane(self, now: float, most: int = 64) -> list[Waiting]:
        """The overdue at `now` (on the scale of order keys) by (due time, id), at most so many. A job is due when the
        patience of the class that was asked for runs out."""

    async def find(self, job_ids: Sequence[str]) -> dict[str, Waiting]:
        """These, as they wait; absent ones are left out."""

    async def locate(self, job_ids: Sequence[str]) -> dict[str, Place]:
        """Where these wait; absent ones are left out."""

    async def listing(self, after: OrderPoint | None, limit: int) -> list[Waiting]:
        """Jobs in the whole order, strictly behind a point of it, from its beginning with None."""

    async def neighbours(self, priority: Priority, position: int, job_id: str) -> Neighbours:
        """Between which keys the job would stand at `position` (from 1) of an effective class, itself taken out first.

        It would get the band of the job that then stands there; behind the last, that of the last; where nobody else
        waits, its own (0 when it does not wait). A position beyond the end means behind the last.
        """

    async def span(self, priority: Priority, band: int, key: float, n: int) -> list[Member]:
        """The members of an effective class and band around a key: up to half of n below it, the others from it on."""

    async def lengths(self) -> dict[Priority, int]:
        """Jobs by effective class; all four, zeros included."""

    async def missing(self, job_ids: Sequence[str]) -> list[str]:
        """Those of the ids that the index does not hold."""

    def all_ids(self) -> AsyncIterator[list[str]]:
        """Every id that the index holds, in batches; one that moves meanwhile may come twice or not at all."""

    async def epoch(self) -> str | None:
        """A mark that is lost when the index loses its data."""

    async def rebuild(self, tickets: AsyncIterator[list[Ticket]]) -> int:
        """Build anew beside the old one, then swap and set a new epoch. Answers how many were indexed."""

    async def publish(self, board: Board) -> None: ...

    async def board(self) -> Board | None: ...


class Announcements(Protocol):
    """What was first said of each waiting job's start, until it starts. May be lost."""

    def say(self, job_id: str, announcement: Announcement) -> None:
        """Soon, and nobody waits for it."""

    async def take(self, job_ids: Sequence[str]) -> dict[str, Announcement]:
        """Those that there are, which are then gone."""

    async def disturb(self, job_ids: Sequence[str], why: str) -> None:
        """Something happened to these jobs that no estimate could know; of several, the first counts."""

    async def leave(self, job_ids: Sequence[str], why: str) -> None:
        """These jobs left the queue without a start."""

    async def left(self) -> list[Announcement]:
        """Those of jobs that have left, which are then gone; some of them when there are many."""


class Dispatcher(Protocol):
    """The doorbell to nodes. A message has no authority: the claim in the store decides."""

    async def dispatch(self, node_id: str, assignments: Sequence[tuple[str, int]]) -> None:
        """One message with all (job_id, run_no) for the node, and a ring."""


class Bells(Protocol):
    """Hints that something changed; may be lost."""

    async def ring(self, name: str) -> None:
        """Never raises: a bell that cannot ring is replaced by the next beat."""

    def listen(self, name: str) -> AbstractAsyncContextManager[Waker]: ...


class Waker(Protocol):
    """A bell being listened to."""

    async def wait(self, timeout: float) -> bool:
        """True when it rang (once for any number of rings since the last wait), False after `timeout` seconds."""


SCHEDULER_BELL = "scheduler"
"""Jobs entered the queue."""
ROOM_BELL = "room"
"""Resources were freed, or a node joined: what could not be placed before may be placed now."""

SWEEP_BELL = "sweeps"
"""A job of a batch has ended: if it was a trial, the next may be asked."""


def node_bell(node_id: str) -> str:
    """The bell of a node: assignments and controls."""
    return f"node:{node_id}"
