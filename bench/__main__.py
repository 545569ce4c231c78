"""`python -m bench [NAME …]`: those benchmarks of `ALL` that are named, else all."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "submit",
    "latency",
    "throughput",
    "memory",
    "guard",
    "rebuild",
    "queue",
    "forecast",
    "controls",
    "search",
    "analytics",
    "sizing",
    "workflows",
    "sweeps",
    "workflows.batch",
    "workflows.chain",
)


def main() -> int:
    chosen = sys.argv[1:] or list(ALL)
    if unknown := set(chosen) - set(ALL):
        print(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(ALL)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"== {name}", flush=True)
        if status := subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
