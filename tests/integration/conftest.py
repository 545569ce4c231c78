"""A worker for each test that asks for one, `cluster` in this process and `worker` as one of its own; `services` for
what is done by hand.

Workers of these tests load no library for machine learning beforehand: few need one, and each start is much shorter.
Steps that do need them load them in their own process.
"""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.config import Settings, load_settings
from app.scheduler.ledger import Patience
from app.services import Services
from tests.integration.cluster import Cluster, a_worker
from tests.integration.worker_process import a_process, registered
from workers.child import LIGHT
from workers.runners.nursery import Nursery


@pytest.fixture(autouse=True)
def _travel_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nursery.__init__, "__defaults__", (LIGHT,))


def have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests whose nodes start nothing: the reconciler, which looks often there, takes nothing back from them."""
    seldom = timedelta(hours=1)
    monkeypatch.setattr(Patience, "of", lambda look: Patience(leak=2 * look, ring=look, give_up=seldom))


@pytest.fixture
def settings(mongo_uri: str, redis_url: str, database: str, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "MONGODB_URI": mongo_uri,
            "REDIS_URL": redis_url,
            "MONGODB_DATABASE": database,
            "DATA_DIR": str(tmp_path),
            "NODE_CPU_CORES": "64",
            "NODE_MEMORY_GB": "256",
            "KILL_GRACE_SECONDS": "1",
            "DRAIN_GRACE_SECONDS": "0.2",
            "LEASE_SECONDS": "12",
            "LEASE_BEAT_SECONDS": "2",
            "LEASE_MARGIN_SECONDS": "3",
        }
    )


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, role="worker") as opened:
        yield opened


@pytest.fixture
async def cluster(services: Services) -> AsyncIterator[Cluster]:
    async with a_worker(services) as running:
        yield running


@pytest.fixture
async def worker(settings: Settings, services: Services) -> AsyncIterator[Process]:
    async with a_process(settings) as process:
        await registered(services)
        yield process
