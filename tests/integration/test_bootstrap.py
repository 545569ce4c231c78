"""Which adapters a process gets by its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bootstrap import open_services
from app.config import load_settings
from app.startup import StartupTrouble
from app.storage.artifact_directory import DirectoryArtifactStore
from app.storage.artifacts import GridFsArtifactStore


@pytest.fixture
def environ(mongo_uri: str, redis_url: str, database: str) -> dict[str, str]:
    return {"MONGODB_URI": mongo_uri, "REDIS_URL": redis_url, "MONGODB_DATABASE": database}


async def test_artifacts_are_kept_where_the_settings_say(environ: dict[str, str], tmp_path: Path) -> None:
    async with open_services(load_settings(environ), role="api") as services:
        assert isinstance(services.artifacts, GridFsArtifactStore)
    shared = tmp_path / "new" / "shared"
    async with open_services(load_settings({**environ, "ARTIFACT_DIR": str(shared)}), role="api") as services:
        assert isinstance(services.artifacts, DirectoryArtifactStore)
        assert shared.is_dir()


async def test_a_shared_folder_that_cannot_be_is_said_at_the_start(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = load_settings({**environ, "ARTIFACT_DIR": str(tmp_path / "file" / "shared")})
    with pytest.raises(StartupTrouble, match=r"ARTIFACT_DIR .* cannot be used"):
        async with open_services(settings, role="api"):
            pass
