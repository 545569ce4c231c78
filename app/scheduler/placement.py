"""Where a vector goes best, and on which GPUs. All integers, so that equal states give equal answers.

Best fit is the smallest tuple: nodes with GPUs are kept for jobs that ask for one; liked labels count; CPU and memory
are kept so that free GPUs stay usable; whole free GPU nodes are kept whole; then the node that is left with least; then
its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.domain.resources import Vector

Score = tuple[int, int, int, int, int]
"""GPU nodes avoided, liked labels missed, stranded GPUs, free GPUs, what is left in thousandths."""


def score(vector: Vector, capacity: Vector, free: Vector, missed: int = 0) -> Score:
    """How well `vector` fits a node that has at least this much free; smaller is better. `missed`: see `misses`."""
    cpu, memory = free.cpu_millicores - vector.cpu_millicores, free.memory_mib - vector.memory_mib
    gpus, storage = free.gpu - vector.gpu, free.storage_gib - vector.storage_gib
    left = (
        1000 * cpu // (capacity.cpu_millicores or 1)
        + 1000 * memory // (capacity.memory_mib or 1)
        + 1000 * gpus // (capacity.gpu or 1)
        + 1000 * storage // (capacity.storage_gib or 1)
    )
    avoided = int(vector.gpu == 0 and capacity.gpu > 0)
    return avoided, missed, stranded_gpus(capacity, cpu, memory, gpus), gpus, left


def misses(prefer: Sequence[tuple[str, str]], labels: Mapping[str, str]) -> int:
    """How many of the labels that a job would like the node has not."""
    return sum(labels.get(name) != value for name, value in prefer)


def stranded_gpus(capacity: Vector, cpu: int, memory: int, gpus: int) -> int:
    """Of so many free GPUs, those that could not be used for want of half the node's CPU and memory per GPU."""
    if gpus == 0:
        return 0
    usable = gpus
    if capacity.cpu_millicores:
        usable = min(usable, 2 * cpu * capacity.gpu // capacity.cpu_millicores)
    if capacity.memory_mib:
        usable = min(usable, 2 * memory * capacity.gpu // capacity.memory_mib)
    return gpus - usable


def pick_gpus(free: tuple[int, ...], count: int) -> tuple[int, ...]:
    """`count` of the free indices (ascending): out of the smallest free aligned block that holds them, else the lowest.

    Blocks are aligned powers of two (the buddy rule), which keeps NVLink or NUMA pairs whole.
    """
    if count == 0:
        return ()
    size = 1 << (count - 1).bit_length()
    have = set(free)
    starts = [s for s in range(0, free[-1] + 1, size) if _is_free(have, s, size)]
    if not starts:
        return free[:count]
    best = min(starts, key=lambda s: (_enclosing(have, s, size), s))
    return tuple(range(best, best + count))


def _is_free(have: set[int], start: int, size: int) -> bool:
    return all(i in have for i in range(start, start + size))


def _enclosing(have: set[int], start: int, size: int) -> int:
    """The size of the largest free aligned block around a free one."""
    while True:
        wider = size * 2
        around = start // wider * wider
        if not _is_free(have, around, wider):
            return size
        start, size = around, wider
