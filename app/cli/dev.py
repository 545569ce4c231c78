"""`tensorfleet dev`: the whole stack until Ctrl-C or SIGTERM, then all of it ends within 10 s."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from app import logs
from app.cli.ports import choose_port
from app.cli.stack import Stack
from app.config import load_settings
from app.startup import StartupTrouble


def dev(port: int | None, data_dir: Path | None, workers: int) -> int:
    """Serve until told to stop; the exit code: 0, or 1 when a part of the stack ended by itself."""
    settings = load_settings() if data_dir is None else load_settings(DATA_DIR=str(data_dir))
    logs.configure(settings.logs.level, "dev")
    choice = choose_port(settings, port)
    if choice.notice:
        print(choice.notice, file=sys.stderr)
    if choice.running:
        return 0
    return asyncio.run(_serve(Stack(settings, choice.port, settings.data.directory, workers)))


async def _serve(stack: Stack) -> int:
    stop = stop_on_signals()
    starting = asyncio.ensure_future(stack.start())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            print(f"Serving {stack.url} · data in {stack.folder} · Ctrl-C stops", file=sys.stderr)
            await until_either(stop, stack.done)
    finally:
        stopping.cancel()
        await stack.stop()
        await asyncio.gather(starting, stopping, return_exceptions=True)
    if stack.failure is not None:
        raise StartupTrouble(str(stack.failure), exit_code=1)
    return 0


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def until_either(*events: asyncio.Event) -> None:
    """Until one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
