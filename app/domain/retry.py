"""Retries: the policy and the one decision. Chance is an argument.

`max_attempts` counts all attempts, the first included. A lost worker uses no attempt and waits no delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

RETRYABLE = ("error", "timeout", "worker_lost", "out_of_memory")
_COUNTS_AS = {"stalled": "error"}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed run is followed by another. Delays in seconds."""

    max_attempts: int = 3
    retry_delay: float = 10.0
    backoff: str = "exponential"
    max_delay: float = 600.0
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ("error", "worker_lost", "out_of_memory")


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
