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
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
    causes = iter([OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyError("x"), None])

    async def act() -> str:
        for cause in causes:
            raise Unavailable("ARTIFACT_DIR") from cause
        return "done"

    with structlog.testing.capture_logs() as logs:
        assert await until_answered("keep_files", act) == "done"
    assert [entry["why"] for entry in logs] == ["No space left on device", "KeyError", None]
    assert {entry["store"] for entry in logs} == {"ARTIFACT_DIR"}
