"""What the scripts of the queue index are sent, and what they answer, as values.

Scores are doubles and travel as text with 17 significant digits, which loses nothing. What is read back raises
TypeError, ValueError, KeyError or AttributeError where no ticket can have made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite

import orjson

from app.domain.queueing import Bucket, Demand, Resolution, Ticket
from app.domain.records import BucketHead, Member, Place, Waiting
from app.storage.lua import Argument
from app.storage.shapes import Malformed, check_amounts

MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
REMEMBERED = 10_000
"""Buckets, and demands, that are made or read once only."""


def score(value: float) -> str:
    return f"{value:.17g}"


def arguments(tickets: Sequence[Ticket]) -> list[Argument]:
    """The distinct buckets, then the tickets, as `add_tickets` in `lua/structures.lua` reads them."""
    numbers: dict[Bucket, int] = {}
    rows: list[Argument] = []
    for t in tickets:
        number = numbers.setdefault(t.bucket, len(numbers) + 1)
        demand = orjson.dumps(t.demand.parts())
        rows += (t.job_id, score(t.key), score(t.demand.submitted), t.demand.own.value, demand, number)
    buckets: list[Argument] = []
    for bucket in numbers:
        buckets += _bucket_arguments(bucket)
    return [len(numbers), *buckets, *rows]


@lru_cache(maxsize=REMEMBERED)
def _bucket_arguments(exact: Bucket) -> tuple[Argument, ...]:
    """Its queue, then id and parts of it and of the coarser ones that it may have to go to."""
    pin = "*" if exact.pin is None else exact.pin
    found: list[Argument] = [f"{exact.priority.value}:{pin}:{exact.tenant}"]
    for resolution in Resolution:
        bucket = exact.at(resolution)
        found += (bucket.id, orjson.dumps(bucket.parts()))
    return tuple(found)


def place_from(position: int, class_position: int, place: int, bucket: bytes) -> Place:
    return Place(position, class_position, place, bucket.decode())


def head_from(bucket: bytes, parts: bytes, count: int, job: bytes, key: bytes, entry: bytes) -> BucketHead:
    return BucketHead(bucket.decode(), _bucket_from(bucket, parts), count, (member_from(job, key, entry),))


def waiting_from(bucket: bytes, parts: bytes, job: bytes, key: bytes, entry: bytes, band: int) -> Waiting:
    return Waiting(bucket.decode(), _bucket_from(bucket, parts), member_from(job, key, entry), band)


def member_from(job: bytes, key: bytes, entry: bytes) -> Member:
    """`entry`: what stands of the job in `at`."""
    return Member(job.decode(), float(key), _demand_from(entry))


@lru_cache(maxsize=REMEMBERED)
def _demand_from(entry: bytes) -> Demand:
    """That of a head is read in every cycle until it starts."""
    _, _, demand = entry.split(b":", 2)
    found = Demand.from_parts(orjson.loads(demand))
    check_amounts(found.vector.parts())
    check_amounts((found.mean, found.cautious, found.hard))
    if not isfinite(found.submitted):
        raise Malformed("submitted", found.submitted)
    return found


@lru_cache(maxsize=REMEMBERED)
def _bucket_from(bucket: bytes, parts: bytes) -> Bucket:
    found = Bucket.from_parts(orjson.loads(parts))
    check_amounts(found.vector.parts())
    if found.id != bucket.decode():
        raise Malformed("bucket", bucket)
    return found
