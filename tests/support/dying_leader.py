"""A service whose scheduler is killed at a step: `python -m tests.support.dying_leader STEP`."""

import os
import signal
import sys

import uvicorn

from app.config import load_settings
from app.main import build


def die(step: str) -> None:
    """The checkpoint: no warning, no goodbye."""
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    settings = load_settings()
    uvicorn.run(build(settings, checkpoint=die), port=settings.http.port, log_config=None)
