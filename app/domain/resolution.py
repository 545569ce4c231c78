"""How exact the bucket of a job is: as exact as there is room for.

A class and tenant have at most 96 buckets beside their mixed ones, of which there is one per band that a reorder put
jobs in; so the number of buckets is bounded whatever is submitted. The queue index in Redis follows the same rule in
its enqueue script.
"""

from __future__ import annotations

from collections.abc import Callable

from app.domain.queueing import MOST_BUCKETS, ROOM, Bucket, Resolution


def fitting_bucket(exact: Bucket, exists: Callable[[Bucket], bool], made: int, total: int) -> Bucket:
    """The bucket for a job whose exact one this is.

    The exact one where it exists; else the first, from exact to mixed, that may be made or exists. `made`: non-empty
    buckets of its class and tenant, `total` of all.
    """
    if exists(exact):
        return exact
    for resolution, room in ROOM.items():
        bucket = exact.at(resolution)
        if (made < room and total < MOST_BUCKETS) or exists(bucket):
            return bucket
    return exact.at(Resolution.MIXED)
