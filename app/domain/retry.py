"""Retries: the policy and the one decision. Chance is an argument.

`max_attempts` counts all attempts, the first included. A lost worker uses no attempt and waits no delay. A run that was
ended for its memory is followed by one with more, as long as that may help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

RETRYABLE = ("error", "timeout", "worker_lost", "out_of_memory")
_COUNTS_AS = {"stalled": "error"}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed run is followed by another. Delays in seconds. `memory_growth`: factor for the memory after
    `out_of_memory`; 1 keeps it."""

    max_attempts: int = 3
    retry_delay: float = 10.0
    backoff: str = "exponential"
    max_delay: float = 600.0
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ("error", "worker_lost", "out_of_memory")
    memory_growth: float = 1.5


MOST_GROWTHS = 3
"""How often the memory of a job grows."""
PEAK_ROOM = 1.2
"""The memory asked for next is at least so many times the peak that was seen."""


def delay_before(policy: RetryPolicy, failures: int, chance: float) -> timedelta:
    """How long to wait after the n-th failure (n ≥ 1). `chance` in [0, 1) spreads it by ± jitter."""
    base = policy.retry_delay * (2 ** min(failures - 1, 30) if policy.backoff == "exponential" else 1)
    spread = 1 + policy.jitter * (2 * chance - 1)
    return timedelta(seconds=min(base, policy.max_delay) * spread)


def next_try(policy: RetryPolicy, reason: str, attempt: int, chance: float) -> timedelta | None:
    """The delay until the next run, or None when this failure is final.

    `reason`: why the run ended; `attempt`: the number of the attempt that failed (≥ 1).
    """
    if _COUNTS_AS.get(reason, reason) not in policy.retry_on:
        return None
    if reason == "worker_lost":
        return timedelta(0)
    return delay_before(policy, attempt, chance) if attempt < policy.max_attempts else None


def grown_memory(
    policy: RetryPolicy, memory_mib: int, peak_mib: float | None, largest_mib: int | None, growths: int
) -> int:
    """Memory of the next run after `out_of_memory`, in MiB: max(growth · limit, 1.2 · peak), at most the largest
    node's.

    `growths`: how often it has grown already; `largest_mib`: None when no node is known. Never less than `memory_mib`.
    Source: design, scheduling section 6, "OOM retry".
    """
    if policy.memory_growth <= 1 or growths >= MOST_GROWTHS:
        return memory_mib
    wanted = math.ceil(max(policy.memory_growth * memory_mib, PEAK_ROOM * (peak_mib or 0.0)))
    return max(memory_mib, wanted if largest_mib is None else min(wanted, largest_mib))
