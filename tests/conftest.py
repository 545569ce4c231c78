"""Fixtures of all tests: one real MongoDB and Valkey for each test process, a database of its own for each test."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from app.dev.embedded import EmbeddedServers, Endpoints

END_TO_END = Path(__file__).parent / "e2e"
# A property says what is true, not how busy the machine is.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False)
# The same examples each time, so that who changes something is judged by that, and not by the luck of a seed.
settings.register_profile("steady", settings.get_profile("explore"), derandomize=True)
settings.load_profile("steady")
PATIENT = {
    "app.api.hub.OPENING_PATIENCE": 60.0,
    "app.api.hub.REPLAY_SECONDS": 30.0,
    "app.api.readiness.PATIENCE": 30.0,
    "app.operations.batches.controlling.PATIENCE": 30.0,
    "app.operations.change.HINT_SECONDS": 30.0,
    "app.operations.hints.HINT_SECONDS": 30.0,
    "app.scheduler.counterfactuals.BUDGET": 30.0,
    "app.scheduler.rolling.PATIENCE": 30.0,
    "app.storage.health.PATIENCE": 30.0,
}
"""For how long the service waits for what may also come later. In tests nobody else makes up for it."""
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _patient_service() -> Iterator[None]:
    """A machine that stands still for a moment changes no answer. Tests of impatience set their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in PATIENT.items():
            patch.setattr(name, seconds)
        yield


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A replica set of one and a Valkey, shared by the tests of this process."""
    embedded = EmbeddedServers(tmp_path_factory.mktemp("servers"), preferred_ports=(0, 0))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(embedded.start())
        yield embedded.endpoints
        runner.run(embedded.stop())


@pytest.fixture(scope="session")
def mongo_uri(servers: Endpoints) -> str:
    """Address of the shared replica set."""
    assert servers.mongodb_uri
    return servers.mongodb_uri


@pytest.fixture(scope="session")
def _mongo(mongo_uri: str) -> Iterator[MongoClient[dict[str, object]]]:
    with MongoClient[dict[str, object]](mongo_uri) as client:
        yield client


@pytest.fixture
def database(_mongo: MongoClient[dict[str, object]]) -> Iterator[str]:
    """Name of a database that no other test uses; dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield name
    _mongo.drop_database(name)


@pytest.fixture
def redis_url(servers: Endpoints) -> str:
    """Address of the shared Valkey, empty at the beginning of the test."""
    assert servers.redis_url
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture(autouse=True)
def _no_log_context() -> Iterator[None]:
    """No field bound to the log by one test shows up in another."""
    structlog.contextvars.clear_contextvars()
    yield
    structlog.contextvars.clear_contextvars()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests measure time and start many processes: with several test processes they share one, in turn."""
    for item in items:
        if END_TO_END in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The very last line: `412 passed, 0 failed, 3 skipped`."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    counts = {kind: len(reporter.stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped")}
    failed = counts["failed"] + counts["error"]
    reporter.write_line(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped")
