"""Starting a worker: its command line, its environment, arq's way in."""

from __future__ import annotations

import pytest
from arq.connections import RedisSettings

from app.startup import StartupTrouble
from workers import settings
from workers.main import forget_settings, run


def test_runs_do_not_inherit_the_settings() -> None:
    environment = {"MONGODB_URI": "mongodb://u:p@h/", "REDIS_URL": "redis://:p@h", "PATH": "/bin", "HF_HOME": "/x"}
    forget_settings(environment)
    assert environment == {"PATH": "/bin", "HF_HOME": "/x"}


def test_a_bad_node_id_is_refused() -> None:
    with pytest.raises(StartupTrouble, match="'Not An Id' is no node id"):
        run(["--node-id", "Not An Id"])


def test_arq_finds_its_settings_when_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://somewhere:7000/3")
    found = settings.WorkerSettings
    assert found.redis_settings == RedisSettings("somewhere", 7000, database=3)
    assert found.on_startup is settings.become_the_supervisor
    assert " ".join(settings.command_line()[1:]).endswith("tensorfleet worker")
