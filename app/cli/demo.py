"""`tensorfleet demo`: start everything, send the first request of the API contract, follow it live, say what is next.

With a terminal it keeps serving until Ctrl-C; without one, or with `DEMO_EXIT=1`, it stops everything that it started
and exits with the job's code: 0 COMPLETED, 100 FAILED, 103 CANCELLED, 104 TIMEOUT.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from app import logs
from app.cli import demo_view as view
from app.cli.dev import stop_on_signals, until_either
from app.cli.ports import Choice, choose_port
from app.cli.stack import Stack
from app.client import AsyncClient
from app.config import Settings, load_settings
from app.startup import StartupTrouble

REQUEST: dict[str, Any] = {
    "template": "ml_training_template",
    "parameters": {
        "dataset_name": "iris",
        "algorithm": "random_forest",
        "target_column": "species",
        "hyperparameters": {"n_estimators": 100, "max_depth": 5},
    },
    "priority": "high",
    "resources": {"cpu_cores": 4, "memory_gb": 8},
    "dependencies": [],
    "retry_policy": {"max_attempts": 3, "retry_delay": 60},
}
"""The first request of the API contract, verbatim."""
EXIT_CODES = {"COMPLETED": 0, "FAILED": 100, "CANCELLED": 103, "TIMEOUT": 104}
INTERRUPTED = 130
EARLIER_SHOWN = 3


def demo(port: int | None, data_dir: Path | None, workers: int) -> int:
    """Run the demonstration; the exit code. Raises StartupTrouble."""
    settings = load_settings() if data_dir is None else load_settings(DATA_DIR=str(data_dir))
    logs.configure("ERROR", "demo")
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]\\[1/4][/] environment {Path(sys.prefix).name}, Python {platform.python_version()}")
    choice = choose_port(settings, port)
    if choice.notice:
        print(choice.notice, file=sys.stderr)
    return asyncio.run(_demo(settings, choice, workers, console))


async def _demo(settings: Settings, choice: Choice, workers: int, console: Console) -> int:
    stop, shown = stop_on_signals(), asyncio.Event()
    showing = asyncio.ensure_future(_show(settings, choice, workers, console, stop, shown))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([showing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if showing.done() or shown.is_set():
        return await showing
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)
    return INTERRUPTED


async def _show(
    settings: Settings, choice: Choice, workers: int, console: Console, stop: asyncio.Event, shown: asyncio.Event
) -> int:
    """The demonstration. Once all of it is `shown`, Ctrl-C is its proper end and not an interruption."""
    async with _running(settings, choice, workers, console) as stack, AsyncClient(choice.url) as client:
        await _introduce(client, choice, console)
        job = await _train(client, console)
        for line in view.summary(job, choice.url):
            console.print(line)
        stays = console.is_terminal and os.environ.get("DEMO_EXIT") != "1"
        console.print(view.farewell(settings.data.directory, ours=stack is not None, stays=stays), markup=False)
        shown.set()
        if stack is not None and stays:
            await until_either(stop, stack.done)
        return EXIT_CODES[job["status"]]


@asynccontextmanager
async def _running(settings: Settings, choice: Choice, workers: int, console: Console) -> AsyncIterator[Stack | None]:
    """The stack, started here and ended here; None when it was running before."""
    if choice.running:
        yield None
        return
    stack = Stack(settings, choice.port, settings.data.directory, max(1, workers))
    try:
        console.print(f"[bold]\\[2/4][/] {view.stores(await stack.start_stores(), settings)}")
        with console.status("starting the API and a worker"):
            await stack.start()
        yield stack
        if stack.failure is not None:
            raise StartupTrouble(str(stack.failure), exit_code=1)
    finally:
        await stack.stop()


async def _introduce(client: AsyncClient, choice: Choice, console: Console) -> None:
    nodes = (await client.request("GET", "/nodes"))["nodes"]
    for node in nodes:
        console.print(f"[bold]\\[3/4][/] API {choice.url} · {escape(view.node(node))}")
    earlier = await client.request("GET", f"/jobs?limit={EARLIER_SHOWN}&include=total")
    for line in view.earlier(earlier["jobs"], earlier["total"]):
        console.print(line, markup=False)


async def _train(client: AsyncClient, console: Console) -> dict[str, Any]:
    """Submit, and follow to the end."""
    answer = await client.submit(REQUEST)
    job_id = answer["job_id"]
    console.print(f"[bold]\\[4/4][/] {job_id}  {answer['name']}   [dim](the first request of the README)[/]")
    follow = _draw if console.is_terminal else _log
    return await follow(client, job_id, console)


async def _draw(client: AsyncClient, job_id: str, console: Console) -> dict[str, Any]:
    """The steps in place, with bars, redrawn as events arrive."""
    job = await client.job(job_id)
    with Live(view.steps(job), console=console) as live:
        async for _ in client.events(f"/jobs/{job_id}/events"):
            job = await client.job(job_id)
            live.update(view.steps(job))
    return job


async def _log(client: AsyncClient, job_id: str, console: Console) -> dict[str, Any]:
    """A line a transition, then the steps."""
    async for event in client.events(f"/jobs/{job_id}/events"):
        if event.type == "job.state":
            console.print(view.transition(event.data))
    job = await client.job(job_id)
    console.print(view.steps(job))
    return job
