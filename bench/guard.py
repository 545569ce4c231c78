"""What guard and beat cost while ten runs live: the share of a core that the guard uses, and that of the beats.

The guard is a process, so the system counts for it. Beats are counted by their number: the worker's own time is taken
with many beats a second and with few, and the difference is theirs.
"""

from __future__ import annotations

import time

import psutil

from bench import kit

RUNS, SECONDS = 10, 20.0
OFTEN, SELDOM = 0.25, 10.0
"""Seconds between two beats; the second is the default."""


def main() -> None:
    print(kit.machine())
    often, guard_often = measure(OFTEN)
    seldom, guard_seldom = measure(SELDOM)
    a_beat = max(0.0, (often - seldom) / (1 / OFTEN - 1 / SELDOM))
    beats = a_beat / SELDOM
    print(f"guard {guard_seldom:.3%} of a core ({guard_often:.3%} with a beat each {OFTEN} s)")
    print(f"beats {beats:.3%} of a core: {a_beat * 1e3:.1f} ms each, one in {SELDOM:g} s")
    print(f"guard and beats together {guard_seldom + beats:.3%} of a core, {RUNS} live runs (bound: 1 %)")


def measure(beat: float) -> tuple[float, float]:
    """Shares of a core: the supervisor's, and the guard's."""
    with kit.service(workers=1, LEASE_BEAT_SECONDS=str(beat)) as (base, _):
        for _ in range(RUNS):
            kit.post(f"{base}/api/v1/jobs", {"template": "sleep", "parameters": {"seconds": 300}})
        wait_running(base)
        guard = next(p for p in psutil.Process().children(recursive=True) if "workers.guard" in p.cmdline())
        supervisor = guard.parent()
        assert supervisor is not None
        before, started = (cpu(supervisor), cpu(guard)), time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - started
        return (cpu(supervisor) - before[0]) / took, (cpu(guard) - before[1]) / took


def wait_running(base: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while len(kit.get(f"{base}/api/v1/jobs?status=RUNNING&limit=100")["jobs"]) < RUNS:
        if time.monotonic() > end:
            raise TimeoutError("the runs did not start")
        time.sleep(0.1)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
