"""An API that is killed after a job is durable and before its answer leaves: `python -m tests.support.dying_api`."""

import os
import signal

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import load_settings
from app.main import build


class DiesBeforeItAnswers:
    """Kills its own process in place of the first byte of a 201."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dying(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 201:
                os.kill(os.getpid(), signal.SIGKILL)
            await send(message)

        await self._app(scope, receive, dying if scope["type"] == "http" else send)


if __name__ == "__main__":
    settings = load_settings()
    uvicorn.run(DiesBeforeItAnswers(build(settings)), port=settings.http.port, log_config=None)
