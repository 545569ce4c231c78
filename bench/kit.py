"""What every benchmark here shares: the service as real processes, a light load generator, statistics, the machine.

Everything runs on loopback and ends by itself; servers are ended by their own pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient

HOST = "127.0.0.1"
TENSORFLEET = Path(sys.executable).with_name("tensorfleet")


def free_port() -> int:
    """A port of loopback that nobody holds right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def get(url: str) -> Any:
    """The JSON behind a URL."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


def post(url: str, body: object) -> Any:
    """POST one JSON body; the JSON of the answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wait_http(url: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Until a GET succeeds; fails at once when the process has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.02)
    raise TimeoutError(url)


@contextlib.contextmanager
def process(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A child in its own session; ended by its pid, its output shown when the body fails."""
    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log") as log:
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, **(env or {})},
        )  # fmt: skip
        try:
            yield child
        except BaseException:
            sys.stderr.write(Path(log.name).read_text(errors="replace")[-5_000:])
            raise
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def service(workers: int = 1, **settings: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """`tensorfleet dev` on free ports in a new folder: its base URL and the endpoints of its stores."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    port = free_port()
    env = {"LOG_LEVEL": "WARNING", **settings}
    command = [str(TENSORFLEET), "dev", "--port", str(port), "--data-dir", str(folder), "--workers", str(workers)]
    try:
        with process(command, env) as child:
            wait_http(f"http://{HOST}:{port}/readyz", child)
            base = f"http://{HOST}:{port}"
            wait_workers(base, workers)
            yield base, json.loads((folder / "endpoints.json").read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_workers(base: str, workers: int, seconds: float = 60) -> None:
    """Until that many nodes are READY."""
    end = time.monotonic() + seconds
    while sum(n["state"] == "READY" for n in get(f"{base}/api/v1/nodes")["nodes"]) < workers:
        if time.monotonic() > end:
            raise TimeoutError("workers did not register")
        time.sleep(0.05)


class Connection:
    """A kept-alive HTTP/1.1 connection that sends prepared bytes: a client that costs little beside the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection(HOST, port))

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        headers = f"Host: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(f"POST {path} HTTP/1.1\r\n{headers}".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        length = int(lower[at : lower.index(b"\r\n", at)])
        return int(answer[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def post_all(port: int, path: str, body: bytes, count: int, clients: int) -> list[float]:
    """POST the same body `count` times over `clients` connections; the seconds each took. Any refusal is an error."""
    numbers = iter(range(count))
    seconds: list[float] = []

    async def client() -> None:
        connection = await Connection.open(port)
        for _ in numbers:
            started = time.perf_counter()
            status, answer = await connection.post(path, body)
            seconds.append(time.perf_counter() - started)
            if status >= 300:
                raise RuntimeError(f"{status} {answer[:300]!r}")
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds


def percentile(values: Sequence[float], q: float) -> float:
    """Nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(q * 10) // 1000) - 1)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (lowest–highest)`."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def machine() -> str:
    """One line about this machine and the versions that matter."""
    names = ("fastapi", "uvicorn", "motor", "pymongo", "arq", "redis", "pydantic")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)
    cpu = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}; {versions}"


@contextlib.asynccontextmanager
async def database(uri: str, name: str = "tensorfleet") -> AsyncIterator[Any]:
    """The service's own database, to read what it wrote."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri)
    try:
        yield client[name]
    finally:
        await client.close()
