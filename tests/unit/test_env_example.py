"""`.env.example` is the settings, in the environment's words."""

from __future__ import annotations

import re
from pathlib import Path

from app.config import IGNORED, group_classes, load_settings
from app.dev.env_example import render

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def test_file_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text() == render(), "run: python -m app.dev.env_example > .env.example"


def test_names_every_variable_once() -> None:
    named = re.findall(r"^#([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    settings = [name for kind in group_classes().values() for name in kind.variables()]
    assert sorted(named) == sorted([*settings, *IGNORED])


def test_every_default_is_readable_as_written() -> None:
    pairs = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    assert load_settings(pairs) == load_settings({})
