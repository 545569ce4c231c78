"""`tensorfleet serve`: one uvicorn process with the API, the streams and the in-process scheduler."""

from __future__ import annotations

import gc
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.config import Settings, load_settings
from app.dev.machine import port_holder
from app.main import Process, build
from app.startup import StartupTrouble, mongodb_missing, port_taken

GC_THRESHOLDS = (20_000, 20, 50)
"""A request makes hundreds of objects and hardly a cycle; Python's own threshold of 700 collects at nearly each one."""
SWITCH_SECONDS = 0.001
"""For how long a thread that computes, such as the forecast, may keep the event loop waiting; Python's own is 5 ms."""
SHUTDOWN_SECONDS = 3
"""How long open requests may go on after SIGTERM; event streams are ended at once."""


class Server(uvicorn.Server):
    """uvicorn waits for open connections before it lets the application stop, so the streams must end first."""

    def __init__(self, config: uvicorn.Config, process: Process) -> None:
        super().__init__(config)
        self._process = process
        process.on_failure = self.give_up
        self.failed = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._process.close_streams()
        super().handle_exit(sig, frame)

    def give_up(self) -> None:
        """A background loop died: end, so that whoever supervises the process starts it anew."""
        self.failed = True
        self._process.close_streams()
        self.should_exit = True


class Quietly:
    """The application, without the traceback that Starlette sends along when the start is refused: one line says it."""

    def __init__(self, app: ASGIApp, process: Process) -> None:
        self._app = app
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def quiet(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self._process.trouble is not None:
                message = {**message, "message": ""}
            await send(message)

        await self._app(scope, receive, quiet if scope["type"] == "lifespan" else send)


def serve(port: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartupTrouble, also when a background loop died."""
    settings = load_settings() if port is None else load_settings(PORT=port)
    logs.configure(settings.logs.level, "api")
    if settings.store.mongodb_uri is None:
        raise StartupTrouble(mongodb_missing())
    holder = port_holder(settings.http.port) if settings.http.port else None
    if holder is not None:
        raise StartupTrouble(port_taken(holder))
    _run(settings)


def _run(settings: Settings) -> None:
    process = Process()
    config = uvicorn.Config(
        Quietly(build(settings, process), process),
        host=settings.http.host,
        port=settings.http.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        lifespan="on",
    )
    server = Server(config, process)
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        server.run()
    except SystemExit:
        if process.trouble is None:
            raise
        raise process.trouble from None
    if server.failed:
        raise StartupTrouble("A background loop ended by itself; its error is in the log.", exit_code=1)
