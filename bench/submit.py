"""`POST /jobs` beside plain FastAPI with one awaited majority insert, on the same mongod in one run.

Same client, same body (the first request of the API contract), alternating rounds; no worker runs, so jobs only queue.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from urllib.parse import urlsplit

from app.cli.demo import REQUEST
from bench import kit

BODY = json.dumps(REQUEST).encode()
CASES = ((64, 6_000, 3), (1, 600, 9))
"""Clients, requests and rounds: the p99 of one client rests on few requests, so it takes more rounds."""


def measure(port: int, path: str, count: int, clients: int) -> tuple[float, float]:
    """Requests a second, and p99 in milliseconds."""
    started = asyncio.get_event_loop_policy().new_event_loop()
    try:
        begin = started.time()
        seconds = started.run_until_complete(kit.post_all(port, path, BODY, count, clients))
        return count / (started.time() - begin), kit.percentile(seconds, 99) * 1e3
    finally:
        started.close()


def main() -> None:
    print(kit.machine())
    with kit.service(workers=0) as (base, stores):
        raw_port = kit.free_port()
        command = [sys.executable, "-m", "uvicorn", "bench.raw_app:app", "--host", kit.HOST, "--port", str(raw_port),
                   "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip
        with kit.process(command, {"BENCH_MONGODB_URI": stores["mongodb_uri"]}) as raw:
            kit.wait_http(f"http://{kit.HOST}:{raw_port}/openapi.json", raw)
            targets = {"raw": (raw_port, "/insert"), "ours": (urlsplit(base).port or 0, "/api/v1/jobs")}
            for port, path in targets.values():
                measure(port, path, 500, 64)
            for clients, count, many in CASES:
                rounds = [{n: measure(*t, count, clients) for n, t in targets.items()} for _ in range(many)]
                for n in targets:
                    rate = kit.spread([r[n][0] for r in rounds], 0)
                    print(f"{n:5} {clients:3} clients: {rate} req/s, p99 {kit.spread([r[n][1] for r in rounds], 2)} ms")
                rates = statistics.median(r["ours"][0] / r["raw"][0] for r in rounds)
                tails = statistics.median(r["ours"][1] / r["raw"][1] for r in rounds)
                print(f"ratio {clients:3} clients: rate × {rates:.2f}, p99 × {tails:.2f}")


if __name__ == "__main__":
    main()
