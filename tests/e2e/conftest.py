"""A service of real processes over the shared MongoDB and Valkey, one for each test module that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.e2e.stories")


@pytest.fixture
def env(mongo_uri: str, redis_url: str, database: str, tmp_path: Path) -> dict[str, str]:
    """Settings of the processes of one test, with a database of its own."""
    return settings_of(mongo_uri, redis_url, database, tmp_path)


def settings_of(mongo_uri: str, redis_url: str, database: str, folder: Path) -> dict[str, str]:
    """Short graces, and the logical pool."""
    return {
        "MONGODB_URI": mongo_uri,
        "REDIS_URL": redis_url,
        "MONGODB_DATABASE": database,
        "DATA_DIR": str(folder / "data"),
        "KILL_GRACE_SECONDS": "2",
        "DRAIN_GRACE_SECONDS": "0.5",
        "RECONCILE_SECONDS": "1",
        "NODE_CPU_CORES": "64",
        "NODE_MEMORY_GB": "256",
        "NODE_GPU_COUNT": "8",
        "NODE_STORAGE_GB": "1000",
        "LOG_LEVEL": "INFO",
    }
