"""`tensorfleet worker`: the process of one node, until SIGTERM or Ctrl-C (a second one ends the waiting for runs)."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import MutableMapping, Sequence

import structlog

from app import logs
from app.bootstrap import open_services
from app.config import Settings, group_classes, load_settings
from app.domain.ids import is_name_id
from app.startup import StartupTrouble
from workers.node_facts import node_id
from workers.supervisor import Supervisor

log = structlog.get_logger()
ENDED_BY_ITSELF = 1


def run(arguments: Sequence[str] = ()) -> int:
    """Serve as a node until told to stop; the exit code. Raises StartupTrouble when it cannot start as asked."""
    asked = _parser().parse_args(list(arguments))
    settings = load_settings()
    identity = asked.node_id or node_id(settings.node)
    if not is_name_id(identity):
        raise StartupTrouble(f"{identity!r} is no node id: 1-63 of a-z 0-9 _ -, beginning with a letter or digit.")
    forget_settings(os.environ)
    logs.configure(settings.logs.level, "worker", fields={"node_id": identity})
    return asyncio.run(_serve(settings, identity))


def forget_settings(environment: MutableMapping[str, str]) -> None:
    """Take what was read as settings out of the environment: runs inherit it, and it holds credentials."""
    for kind in group_classes().values():
        for name in kind.variables():
            environment.pop(name, None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tensorfleet worker", description="Run jobs on this machine as one node.")
    parser.add_argument("--node-id", help="name of the node; NODE_ID or the host name when left out")
    return parser


async def _serve(settings: Settings, identity: str) -> int:
    async with open_services(settings, role="worker") as services:
        supervisor = Supervisor(services, identity)
        stop = _on_signals(supervisor)
        async with supervisor:
            log.info("worker.ready", pid=os.getpid())
            stopping = asyncio.ensure_future(stop.wait())
            ended = asyncio.ensure_future(supervisor.done.wait())
            await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            ended.cancel()
        if supervisor.failure is not None:
            log.error("worker.ended_by_itself", why=supervisor.failures())
            return ENDED_BY_ITSELF
    log.info("worker.stopped")
    return 0


def _on_signals(supervisor: Supervisor) -> asyncio.Event:
    """The wish to stop; a second signal makes the stop impatient."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.impatient.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop
