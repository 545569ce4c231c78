"""Which port `dev` and `demo` serve on: a port that somebody chose never moves silently, a default may."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from app.cli.stack import URL_FILE
from app.config import Settings
from app.dev.machine import free_port, port_holder
from app.startup import StartupTrouble, already_running, port_moved, port_taken


@dataclass(frozen=True, slots=True)
class Choice:
    """The port, what to tell the user about it, and whether our own service from this folder answers there already."""

    port: int
    notice: str | None = None
    running: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def choose_port(settings: Settings, asked: int | None) -> Choice:
    """`asked`: the command's option. Raises StartupTrouble when a chosen port is held by somebody else."""
    wanted = settings.http.port if asked is None else asked
    if wanted == 0:
        return Choice(free_port())
    running = _running_port(settings)
    if running is not None and (asked is None or asked == running):
        return Choice(running, already_running(f"http://127.0.0.1:{running}"), running=True)
    holder = port_holder(wanted)
    if holder is None:
        return Choice(wanted)
    if asked is not None or settings.http.port_chosen:
        raise StartupTrouble(port_taken(holder))
    port = free_port(wanted + 1)
    return Choice(port, port_moved(holder, port))


def _running_port(settings: Settings) -> int | None:
    """Where our own service answers that was started from the same data folder, if any."""
    noted = settings.data.directory / URL_FILE
    if not noted.exists():
        return None
    url = noted.read_text().strip()
    try:
        answers = httpx.get(f"{url}/healthz", timeout=2, trust_env=False).is_success
    except (httpx.TransportError, httpx.InvalidURL):
        return None
    return httpx.URL(url).port if answers else None
