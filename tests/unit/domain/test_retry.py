"""The retry decision as a table."""

from datetime import timedelta

import pytest

from app.domain.retry import RetryPolicy, grown_memory, next_try

FIXED = RetryPolicy(max_attempts=3, retry_delay=60, backoff="fixed", jitter=0)
DOUBLING = RetryPolicy(max_attempts=9, retry_delay=10, backoff="exponential", max_delay=50, jitter=0)


@pytest.mark.parametrize(
    ("policy", "reason", "attempt", "want"),
    [
        (FIXED, "error", 1, 60),
        (FIXED, "error", 2, 60),
        (FIXED, "error", 3, None),
        (FIXED, "timeout", 1, None),
        (FIXED, "stalled", 1, 60),
        (FIXED, "worker_lost", 3, 0),
        (FIXED, "permanent", 1, None),
        (RetryPolicy(max_attempts=1), "error", 1, None),
        (RetryPolicy(retry_on=("error",)), "worker_lost", 1, None),
        (RetryPolicy(retry_on=("timeout",), retry_delay=5, backoff="fixed", jitter=0), "timeout", 1, 5),
        (DOUBLING, "error", 1, 10),
        (DOUBLING, "error", 2, 20),
        (DOUBLING, "error", 3, 40),
        (DOUBLING, "error", 4, 50),
    ],
)
def test_next_try(policy: RetryPolicy, reason: str, attempt: int, want: float | None) -> None:
    found = next_try(policy, reason, attempt, chance=0.5)
    assert found == (None if want is None else timedelta(seconds=want))


@pytest.mark.parametrize(("chance", "want"), [(0.0, 90), (0.5, 100), (0.999999, 110)])
def test_jitter_spreads_around_the_delay(chance: float, want: float) -> None:
    policy = RetryPolicy(retry_delay=100, backoff="fixed", jitter=0.1)
    found = next_try(policy, "error", 1, chance)
    assert found is not None
    assert found.total_seconds() == pytest.approx(want, abs=0.01)


@pytest.mark.parametrize(
    ("growth", "peak", "largest", "growths", "want"),
    [
        (1.5, None, None, 0, 1_500),
        (1.5, 1_100.0, None, 0, 1_500),
        (1.5, 2_000.0, None, 0, 2_400),
        (1.5, 2_000.0, 1_800, 0, 1_800),
        (1.5, None, 900, 0, 1_000),
        (1.5, None, None, 3, 1_000),
        (1.0, 2_000.0, None, 0, 1_000),
    ],
)
def test_memory_after_out_of_memory(
    growth: float, peak: float | None, largest: int | None, growths: int, want: int
) -> None:
    assert grown_memory(RetryPolicy(memory_growth=growth), 1_000, peak, largest, growths) == want
