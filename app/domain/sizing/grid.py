"""Amounts that are asked for: few different ones, so that jobs make few buckets.

Memory in MiB goes by quarter octaves, {4, 5, 6, 7} · 2^k: at most a quarter more than needed. Cores do the same in
eighths of a core: 1/8, 2/8 … 1, 1.25, 1.5, 1.75, 2, 2.5 … 7, 8, 10.
"""

from __future__ import annotations

import math

MOST_MIB = 1 << 40
_EIGHTH = 125


def quarter_octave(amount: int) -> int:
    """Rounded up to {4, 5, 6, 7} · 2^k; at most a quarter more."""
    if amount <= 8:
        return amount
    step = 1 << (amount - 1).bit_length() - 3
    return -(-amount // step) * step


def memory_up(mib: float) -> int:
    """The next amount of memory that is not less."""
    return quarter_octave(math.ceil(min(max(mib, 1.0), MOST_MIB)))


def memory_down(mib: int) -> int:
    """The largest amount of memory that is less."""
    if mib <= 8:
        return mib - 1
    step = 1 << (mib - 1).bit_length() - 3
    return (mib - 1) // step * step


def cores_up(cores: float) -> int:
    """The next number of cores that is not less, in millicores; at least an eighth of a core."""
    return quarter_octave(max(1, math.ceil(round(min(cores, 1e6) * 8, 6)))) * _EIGHTH
