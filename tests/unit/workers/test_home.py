"""What a supervisor finds of one before it, and by which name it holds the node's lease."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from app.domain.environment import MARK
from app.startup import StartupTrouble
from tests.support import ticks
from tests.support.wait import until
from workers import trees
from workers.home import NodeHome
from workers.mark import own_mark

EARLIER = f"earlier-{os.getpid()}"
"""A mark that no other test process uses: they all look at the same machine."""


def test_what_bears_the_mark_of_an_earlier_supervisor_is_seen_dead(tmp_path: Path) -> None:
    """It left its session and every parent, and no run folder tells of it."""
    file = tmp_path / "ticks"
    env = {**os.environ, MARK: EARLIER}
    left = subprocess.Popen(ticks.command(file, "apart"), env=env, start_new_session=True)
    with NodeHome(tmp_path, "n1") as home:
        (home.folder / "mark").write_text(EARLIER)
        asyncio.run(until(lambda: file.exists() and len(trees.marked(EARLIER)) == 2))  # the one between them has ended
        home.clear()
        assert not trees.living(trees.marked(EARLIER))
        assert (home.folder / "mark").read_text() == own_mark()
    left.wait(30)


def test_what_does_not_die_keeps_the_worker_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, MARK: EARLIER})
    monkeypatch.setattr("workers.home._GONE_SECONDS", 0.1)
    monkeypatch.setattr(trees, "send", lambda *_: None)
    with NodeHome(tmp_path, "n1") as home:
        (home.folder / "mark").write_text(EARLIER)
        with pytest.raises(StartupTrouble, match=rf"node n1 do not end \(pid {left.pid}\)"):
            home.clear()
        assert (home.folder / "mark").read_text() == EARLIER
    left.kill()
    left.wait(30)


def test_the_holder_is_the_same_after_a_restart_and_another_elsewhere(tmp_path: Path) -> None:
    with NodeHome(tmp_path / "a", "n1") as home:
        first = home.holder()
    with NodeHome(tmp_path / "a", "n1") as home:
        assert home.holder() == first and first.startswith("n1@")
    with NodeHome(tmp_path / "b", "n1") as home:
        assert home.holder() != first
