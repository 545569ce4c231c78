"""What must be done is tried until it is answered, and each try says why it was not."""

from __future__ import annotations

import errno
import os

import pytest
import structlog

from app.domain.errors import Unavailable
from workers import patience
from workers.patience import until_answered


async def test_it_says_what_the_store_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log at each try, and once to whoever waits."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    causes = iter([full, full, KeyError("x"), None, full])
    said: list[str] = []

    async def act() -> str:
        for cause in causes:
            raise Unavailable("ARTIFACT_DIR") from cause
        return "done"

    with structlog.testing.capture_logs() as logs:
        assert await until_answered("keep_files", act, said.append) == "done"
    room = "No space left on device"
    assert [entry["why"] for entry in logs] == [room, room, "KeyError", None, room]
    causes_told = [f"ARTIFACT_DIR ({room})", "ARTIFACT_DIR (KeyError)", "ARTIFACT_DIR"]
    assert said == [f"waiting for {cause}; tried again until it answers" for cause in causes_told]
    assert {entry["store"] for entry in logs} == {"ARTIFACT_DIR"}
