"""What the command says of itself."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from app.cli.main import app


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_the_version_is_told_by_a_command_and_by_an_option(asked: str) -> None:
    answer = CliRunner().invoke(app, [asked])
    assert (answer.exit_code, answer.output) == (0, f"{version('tensorfleet')}\n")


def test_without_a_command_the_help_is_told() -> None:
    answer = CliRunner().invoke(app, [])
    assert answer.exit_code == 2
    assert "serve" in answer.output
